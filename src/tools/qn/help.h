#pragma once
// Help texts, made from the declarations: for a terminal, and as docs/commands.md.

#include <string>

#include "tools/qn/command.h"

namespace quantnoise::tool {

std::string program_help();
std::string command_help(const Command& command);
std::string commands_markdown();

}  // namespace quantnoise::tool
