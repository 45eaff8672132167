#pragma once
// Whole runs of a tiny model on a tiny generated corpus.

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../base/temporary_folder.h"

namespace quantnoise::test {

using Options = std::map<std::string, std::string>;

/// Options changed by these.
Options with(Options options, const Options& changes);

/// Adaptive input and softmax with bands of 8, 12 and 20 words, 32, 16 and 8 wide; every tie there is.
const Options& adaptive_options();

struct RunResult {
  int exit_code = -1;
  // Lines that are not JSON become the text of an event "line".
  std::vector<nlohmann::json> results;   ///< lines of the result stream
  std::vector<nlohmann::json> messages;  ///< lines of the message stream
  std::vector<std::string> status;       ///< what a terminal's updating line showed

  /// The results or messages of this name, in order.
  std::vector<nlohmann::json> events(const std::string& name) const;
  /// Texts of all messages, joined.
  std::string text() const;
};

/// Asked after every update, with the number of calls so far (from 1).
using StopRequest = std::function<bool(int calls)>;

class RunFixture : public testing::Test {
 protected:
  RunFixture();

  /// Trains with the base options changed by these. save_dir: name of a folder inside the test's.
  RunResult train(const std::string& save_dir, const Options& changes = {},
                  const StopRequest& stop = {}) const;
  /// The same where messages go to a terminal.
  RunResult train_on_terminal(const std::string& save_dir, const Options& changes = {}) const;
  /// Trains as a recipe file says, changed by these options; data and save_dir are the test's.
  RunResult train_recipe(const std::string& recipe, const std::string& save_dir,
                         const Options& changes) const;
  /// The same; a process killed after `updates` updates: nothing that was not saved by then survives.
  void train_until_killed(const std::string& save_dir, const Options& changes, int updates) const;
  /// The error of a run that must fail: "kind: message; hint".
  std::string error_of(const std::string& save_dir, const Options& changes = {}) const;
  RunResult quantize(const Options& options) const;

  std::string path(const std::string& name) const { return folder_.file(name); }
  std::string data() const { return folder_.file("data"); }
  /// Writes a quantization configuration of three stages and returns its path.
  std::string quantization_config(int num_centroids = 16) const;
  /// The model file that a run left.
  std::string model_bytes(const std::string& save_dir) const;
  /// Weights and other tensors of a model file, as bytes.
  static std::map<std::string, std::string> weights(const std::string& model_path);
  /// Entropy of single words of the corpus, in bits.
  static constexpr double kUnigramBits = 5.2;

 private:
  RunResult run_with(const std::string& recipe, const std::string& save_dir, Options options,
                     const StopRequest& stop, bool on_terminal = false) const;

  TemporaryFolder folder_;
};

/// Names of all options of `qn train` that have an effect.
std::vector<std::string> train_option_names();

}  // namespace quantnoise::test
