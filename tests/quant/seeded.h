#pragma once
// LibTorch's generator starts differently in every process. A test program with one file that includes this
// draws the same numbers in every run.

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace quantnoise::test {

class Seed : public testing::Environment {
  void SetUp() override { torch::manual_seed(1); }
};
[[maybe_unused]] static const auto* const kSeed = testing::AddGlobalTestEnvironment(new Seed);

}  // namespace quantnoise::test
