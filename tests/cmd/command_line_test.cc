// Options, recipes, help: what needs no model.

#include <gmock/gmock.h>

#include <regex>

#include "fixture.h"

namespace quantnoise::cmd_test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

using CommandLine = CommandTest;

/// The error and hint lines, which are all of the standard error.
struct Refusal {
  std::vector<std::string> arguments;
  int exit_code;
  std::string err;
};

TEST_F(CommandLine, VersionIsTheProjects) {
  const std::string cmake = read_file(std::string(QN_SOURCE_DIR) + "/CMakeLists.txt");
  std::smatch match;
  ASSERT_TRUE(std::regex_search(cmake, match, std::regex(R"(project\(quantnoise VERSION (\S+))")));
  EXPECT_EQ(qn_ok({"--version"}).out, "qn " + match[1].str() + "\n");
}

TEST_F(CommandLine, HelpGoesToStandardOutput) {
  const Result program = qn_ok({"--help"});
  for (const char* name :
       {"preprocess", "train", "quantize", "eval-lm", "generate", "inspect", "export", "info"}) {
    EXPECT_THAT(program.out, HasSubstr(std::string("\n  ") + name + " "));
    const Result command = qn_ok({name, "--help"});
    EXPECT_THAT(command.out, StartsWith(std::string("usage: qn ") + name));
    EXPECT_EQ(command.err, "");
  }
  const std::string train = qn_ok({"train", "--help"}).out;
  EXPECT_THAT(train, HasSubstr("\nquantization noise:\n"));
  EXPECT_THAT(train, HasSubstr("--quant-noise-pq X"));
  EXPECT_THAT(train, HasSubstr("[probability; 0 to 1; default 0.0]"));
}

TEST_F(CommandLine, CommandsPageIsUpToDate) {
  EXPECT_EQ(qn_ok({"help-markdown"}).out, read_file(std::string(QN_SOURCE_DIR) + "/docs/commands.md"))
      << "write it again: build/release/bin/qn help-markdown > docs/commands.md";
}

TEST_F(CommandLine, WrongUsageIsRefusedWithExitCode2) {
  const std::vector<Refusal> refusals = {
      {{}, 2, "error: qn needs a command\nhint: qn --help lists the commands\n"},
      {{"trian"}, 2, "error: unknown command 'trian'\nhint: did you mean train?\n"},
      {{"--lr", "1"},
       2,
       "error: unknown option --lr\nhint: options stand behind the command: qn train --help\n"},
      {{"train", "data", "--quant-noise-pk", "0.1"},
       2,
       "error: unknown option --quant-noise-pk\nhint: did you mean --quant-noise-pq or --quant-noise-kind or "
       "--quant-noise-exclude?\n"},
      {{"train", "data", "--lr"}, 2, "error: option --lr needs a value\n"},
      {{"train"}, 2, "error: qn train needs the argument data\n"},
      {{"train", "data", "more"},
       2,
       "error: unexpected argument 'more'\nhint: qn train --help lists what is expected\n"},
      {{"train", "data", "--max-update", "8x"},
       2,
       "error: option --max-update: found '8x', expected a whole number of at least 0\n"},
      {{"train", "data", "--quant-noise-pq", "1.5"},
       2,
       "error: option --quant-noise-pq: found '1.5', expected a number from 0 to 1\n"},
      {{"train", "data", "--fp16=maybe"}, 2, "error: option --fp16: found 'maybe', expected true or false\n"},
      {{"eval-lm", "data"}, 2, "error: qn eval-lm needs --path MODEL\n"},
      {{"export", "model.qn"}, 2, "error: qn export needs --output FILE\n"},
      {{"quantize", "model.qn", "-o", "x.qn"},
       2,
       "error: no quantization configuration given: --config FILE.yaml\n"},
      {{"generate", "--path", "m", "--beam", "4"},
       4,
       "error: --beam 4: beam search is not supported, expected 1\n"},
      {{"generate", "--path", "m", "--temperature", "0"},
       2,
       "error: temperature: found 0, expected a number above 0\n"},
  };
  for (const Refusal& refusal : refusals) {
    const Result result = qn(refusal.arguments);
    EXPECT_EQ(result.exit_code, refusal.exit_code) << refusal.err;
    EXPECT_EQ(result.err, refusal.err);
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(CommandLine, ValuesMayBeginWithDashesAndParentheses) {
  const std::string dump = qn_ok({"train", "data", "--adam-betas", "(0.9, 0.98)", "--keep-last-epochs", "-1",
                                  "--max_tokens", "3072", "--warmup-init-lr=-0.5", "--quant-noise-rescale",
                                  "false", "--fp16", "--lr", "1", "--lr", "2", "--dump-config"})
                               .out;
  for (const char* line :
       {"adam-betas: [0.9, 0.98]", "keep-last-epochs: \"-1\"", "max-tokens: 3072", "data: data",
        "warmup-init-lr: \"-0.5\"", "quant-noise-rescale: false", "fp16: true", "lr: [2]"}) {
    EXPECT_THAT(dump, HasSubstr(std::string("\n") + line + "\n"));
  }
}

TEST_F(CommandLine, RecipesRankBelowTheCommandLineAndAreDumpedWhole) {
  const std::string recipe =
      write("recipe.yaml", "lr: 0.125\nquant_noise_pq: 0.05\nadam-betas: [0.9, 0.98]\n");
  const std::string dump = qn_ok({"train", "data", "--config", recipe, "--lr", "0.5", "--dump-config"}).out;
  EXPECT_THAT(dump, HasSubstr("\nlr: [0.5]\n"));
  EXPECT_THAT(dump, HasSubstr("\nquant-noise-pq: 0.05\n"));
  EXPECT_EQ(qn_ok({"train", "--config", write("again.yaml", dump), "--dump-config"}).out, dump);

  const Result typo = qn({"train", "data", "--config", write("typo.yaml", "lr: 1\nmax-updates: 3\n")});
  EXPECT_EQ(typo.exit_code, 2);
  EXPECT_EQ(typo.err,
            "error: in " + path("typo.yaml") +
                ":2:1: unknown option --max-updates\nhint: did you mean --max-update or --warmup-updates?\n");
}

TEST_F(CommandLine, InfoTellsTheKernels) {
  const nlohmann::json info = nlohmann::json::parse(qn_ok({"info", "--json", "--threads", "1"}).out);
  EXPECT_EQ(info["threads"], 1);
  EXPECT_THAT(info["torch"].get<std::string>(), StartsWith("2.13"));
  const auto available = info["kernels_available"].get<std::vector<std::string>>();
  for (const std::string& name : available) {
    const Result forced = qn({"info", "--json"}, "", {{"QN_CPU", name}});
    EXPECT_EQ(nlohmann::json::parse(forced.out)["kernels"], name);
  }
  const Result unknown = qn({"info"}, "", {{"QN_CPU", "abacus"}});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("abacus"));
}

TEST_F(CommandLine, StandardOutputThatCannotBeWrittenIsAnError) {
  Result result = Process({"info"}, folder_, "", {}, {.out_path = "/dev/full"}).wait();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "error: cannot write to standard output: No space left on device\n");
}

}  // namespace
}  // namespace quantnoise::cmd_test
