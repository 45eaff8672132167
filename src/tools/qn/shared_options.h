#pragma once
// Options that several sub-commands declare alike, and what they mean.

#include <torch/torch.h>

#include "quantnoise/config/options.h"
#include "quantnoise/train/output.h"

namespace quantnoise::tool {

/// --threads: threads of torch and of our kernels.
void declare_threads(config::OptionTable& table);
void apply_threads(const config::OptionValues& values);

/// --fp16, --bf16: both compute in bfloat16 on a CPU; a line says so for fp16.
void declare_precision(config::OptionTable& table);
at::ScalarType compute_type_of(const config::OptionValues& values);

/// Where a training run's words go: results to standard output, everything else to standard error.
train::Output terminal_output();

}  // namespace quantnoise::tool
