#pragma once
// The sub-commands of `qn`, one source file each.

#include "tools/common/command.h"

namespace quantnoise::tool {

Command preprocess_command();
Command train_command();
Command quantize_command();
Command eval_lm_command();
Command generate_command();
Command export_command();
Command inspect_command();
Command info_command();

}  // namespace quantnoise::tool
