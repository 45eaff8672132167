#pragma once

#include "tools/common/command.h"

namespace quantnoise::tool {

/// `bench`: how fast a model file runs here, against the same model in dense fp32. program: for the examples.
Command bench_command(const std::string& program);

}  // namespace quantnoise::tool
