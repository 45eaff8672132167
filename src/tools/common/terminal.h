#pragma once
// Standard output for results, standard error for everything else; and Ctrl-C.

#include <string>

namespace quantnoise::tool {

/// One line of a result. Errors: kIo when standard output cannot be written.
void print_result(const std::string& line);
/// Text of a result as it is.
void print_text(const std::string& text);
/// One line for people. Wipes the status line first.
void print_message(const std::string& line);
/// The updating line of a terminal; "" wipes it. Nothing happens when standard error is no terminal.
void print_status(const std::string& line);

/// All of standard input.
std::string read_standard_input();

/// Whether print_status() shows anything.
bool stderr_is_terminal();

/// base::log() goes to print_message.
void show_log();

/// From now on the first SIGINT or SIGTERM only sets a flag; the second ends the program as usual.
void catch_interrupts();
bool interrupted();

}  // namespace quantnoise::tool
