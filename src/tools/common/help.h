#pragma once
// Help texts, made from the declarations: for a terminal, and as parts of docs/commands.md.

#include <string>

#include "tools/common/command.h"

namespace quantnoise::tool {

std::string program_help(const Program& program);
std::string command_help(const Program& program, const Command& command);
std::string commands_markdown(const Program& program);

}  // namespace quantnoise::tool
