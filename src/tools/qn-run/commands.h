#pragma once
// The sub-commands of `qn-run`, one source file each.

#include "tools/common/command.h"

namespace quantnoise::tool {

Command run_generate_command();
Command run_score_command();
Command run_info_command();

}  // namespace quantnoise::tool
