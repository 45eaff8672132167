#pragma once
// The tasks there are; the table is in task.cc.

#include <memory>

#include "quantnoise/train/task.h"

namespace quantnoise::train {

/// Predicts each next token of a text.
std::unique_ptr<Task> make_language_modeling(const config::OptionValues& values);

}  // namespace quantnoise::train
