#pragma once
// A temporary folder with a tiny language-model world: text, data, small models.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "command.h"

namespace quantnoise::cmd_test {

class CommandTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  Result qn(const std::vector<std::string>& arguments, const std::string& input = "",
            const std::map<std::string, std::string>& environment = {}) const;
  /// As qn(), and the exit code must be 0.
  Result qn_ok(const std::vector<std::string>& arguments, const std::string& input = "") const;
  std::string write(const std::string& name, const std::string& text) const;

  /// data-bin with train, valid and test; returns its path.
  std::string prepare_data() const;
  /// `qn train` with a tiny model, JSON lines and one thread; more options follow, and win.
  std::vector<std::string> train_arguments(const std::string& save_dir,
                                           const std::vector<std::string>& more = {}) const;
  /// The words after the data folder of a run through three stages, restored from `model`.
  std::vector<std::string> stage_arguments(const std::string& save_dir, const std::string& model,
                                           const std::vector<std::string>& more = {}) const;
  /// A quantization configuration that fits the tiny model: three stages.
  std::string stages_yaml() const;
  /// A trained model file.
  std::string train_model() const;

  std::string folder_;
};

/// Text of `lines` sentences over few words; the same for a seed.
std::string sample_text(int lines, unsigned seed);

}  // namespace quantnoise::cmd_test
