#pragma once
// A temporary folder with model files, and qn-run to read them.

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "../base/temporary_folder.h"
#include "../cmd/command.h"
#include "../runtime/golden_model.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/text/indexed_dataset.h"

namespace quantnoise::run_test {

using cmd_test::Result;
using nlohmann::json;

class RunTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.file(name); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }

  Result run(const std::vector<std::string>& arguments, const std::string& input = "",
             const std::map<std::string, std::string>& environment = {}) const {
    cmd_test::Surroundings surroundings;
    surroundings.program = "qn-run";
    return cmd_test::Process(arguments, folder_.path(), input, environment, surroundings).wait();
  }
  Result run_ok(const std::vector<std::string>& arguments, const std::string& input = "",
                const std::map<std::string, std::string>& environment = {}) const {
    Result result = run(arguments, input, environment);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result;
  }
  void expect_refused(const std::vector<std::string>& arguments, int exit_code,
                      const std::string& err) const {
    const Result result = run(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_EQ(result.err, err);
    EXPECT_EQ(result.out, "");
  }

  /// The file of one of the golden models.
  std::string model(const std::string& name = "pq_tied") const {
    const std::string file = path(name + ".qn");
    if (!std::filesystem::exists(file))
      pack::write_model_file(file, runtime::test::golden_file(runtime::test::golden_models().at(name)));
    return file;
  }
  /// The same with something changed.
  template <typename Change>
  std::string changed_model(const std::string& name, const Change& change) const {
    pack::ModelFile file = runtime::test::golden_file(runtime::test::golden_models().at("pq_tied"));
    change(file);
    pack::write_model_file(path(name), file);
    return path(name);
  }

  quantnoise::test::TemporaryFolder folder_;
};

}  // namespace quantnoise::run_test
