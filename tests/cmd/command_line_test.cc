// Options, recipes, help: what needs no model.

#include <gmock/gmock.h>

#include <algorithm>
#include <iterator>
#include <regex>
#include <sstream>

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
       {"preprocess", "train", "quantize", "eval-lm", "generate", "inspect", "export", "bench", "info"}) {
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
  EXPECT_THAT(read_file(std::string(QN_SOURCE_DIR) + "/docs/commands.md"),
              StartsWith(qn_ok({"help-markdown"}).out + "\n# Commands of qn-run"))
      << "write it again: scripts/commands_page";
}

TEST_F(CommandLine, WrongUsageIsRefusedWithExitCode2) {
  const std::vector<Refusal> refusals = {
      {{}, 2, "error: qn needs a command\nhint: qn --help lists the commands\n"},
      {{"trian"}, 2, "error: unknown command 'trian'\nhint: did you mean train?\n"},
      {{"--lr", "1"},
       2,
       "error: unknown option --lr\nhint: options stand behind the command: qn COMMAND --help\n"},
      {{"train", "data", "--quant-noise-pk", "0.1"},
       2,
       "error: unknown option --quant-noise-pk\nhint: did you mean --quant-noise-pq or --quant-noise-kind or "
       "--quant-noise-scalar?\n"},
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
       "error: nothing to do: give --config FILE.yaml, --scheme int8 (int2 to int8), --pq-centroid-type "
       "int8, "
       "--calibrate FOLDER or --scalar-act-bits\n"},
      {{"generate", "--path", "m", "--beam", "4", "--sampling"},
       4,
       "error: --beam 4 searches for the best text: it does not go together with --sampling or --greedy\n"},
      {{"generate", "--path", "m", "--temperature", "0"},
       2,
       "error: temperature: found 0, expected a number above 0\n"
       "hint: greedy choice always takes the best token\n"},
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

/// The words of a text, as a shell without quotes takes them.
std::vector<std::string> split(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

TEST_F(CommandLine, ABlankLostAtALineBreakIsFoundAgain) {
  const std::string dump =
      qn_ok({"train", "data", "--max-tokens", "2944", "--tokens-per-sample", "2944--momentum", "0.99",
             "--clip_norm", "0.1--weight_decay", "0.5", "--save-dir", "2944--runs", "--dump-config"})
          .out;
  for (const char* line : {"max-tokens: 2944", "tokens-per-sample: 2944", "momentum: 0.99", "clip-norm: 0.1",
                           "weight-decay: 0.5", "save-dir: 2944--runs"}) {
    EXPECT_THAT(dump, HasSubstr(std::string("\n") + line + "\n"));
  }
  const Result unknown = qn({"train", "data", "--tokens-per-sample", "2944--momentun"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("option --tokens-per-sample: found '2944--momentun'"));
}

TEST_F(CommandLine, OfARepeatedOptionTheLastWins) {
  const std::string recipe = write("recipe.yaml", "max-update: 5\nlr: 3\n");
  const std::string dump =
      qn_ok(split("train data --max-update 13500 --lr 1 --update-freq 3 --fp16 --batch-size 4 "
                  "--max-update 3 --lr 2,1 --update_freq 1,2 --fp16 false --max-sentences 8 "
                  "--seed 1 --seed 2 --seed=3 --dump-config --config " +
                  recipe))
          .out;
  for (const char* line :
       {"max-update: 3", "lr: [2,1]", "update-freq: [1,2]", "fp16: false", "batch-size: 8", "seed: 3"}) {
    EXPECT_THAT(dump, HasSubstr(std::string("\n") + line + "\n"));
  }
}

/// fairseq's command to quantize its Wikitext-103 model, as it is printed: with a blank lost and options
/// twice.
constexpr const char* kQuantizeAsPrinted =
    "--adaptive-input --adaptive-input-cutoff 20000,60000 --adaptive-input-factor 4 "
    "--adaptive-softmax-cutoff 20000,60000 --adaptive-softmax-dropout 0.2 --adaptive-softmax-factor 4.0 "
    "--arch transformer_lm_gbw --attention-dropout 0.1 --dropout 0.2 --relu-dropout 0.1 --bucket-cap-mb 25 "
    "--char-embedder-highway-layers 2 --character-embedding-dim 4 --clip-norm 0.1 --criterion adaptive_loss "
    "--ddp-backend no_c10d --decoder-attention-heads 8 --decoder-embed-dim 1024 --decoder-ffn-embed-dim 4096 "
    "--decoder-input-dim 1024 --decoder-layers 16 --decoder-normalize-before --decoder-output-dim 1024 "
    "--fp16 "
    "--keep-last-epochs -1 --min-lr 0.0001 --lr-period-updates 270000 --lr-scheduler cosine --lr-shrink 0.75 "
    "--lr 0.05 --stop-min-lr 1e-09 --max-tokens 2944 --tokens-per-sample 2944--momentum 0.99 "
    "--no-epoch-checkpoints --no-progress-bar --optimizer nag --required-batch-size-multiple 8 "
    "--sample-break-mode none --t-mult 2.0 --skip-invalid-size-inputs-valid-test --tie-adaptive-proj "
    "--tie-adaptive-weights --update-freq 3 --weight-decay 0 --seed 1 --log-interval 100 --no-progress-bar "
    "--skip-invalid-size-inputs-valid-test --restore-file path/to/trained/lm/with/quant/noise "
    "--max-update 13500 --quantization-config-path /path/to/config/yaml";

TEST_F(CommandLine, TheQuantizeCommandIsTakenAsPrinted) {
  std::vector<std::string> arguments = {"train", "--task", "language_modeling", "/path/to/wikitext-103/data"};
  for (const std::string& word : split(kQuantizeAsPrinted)) arguments.push_back(word);
  for (const char* word : {"--max-update", "3", "--dump-config"}) arguments.emplace_back(word);
  const Result result = qn_ok(arguments);
  for (const char* line :
       {"data: /path/to/wikitext-103/data", "tokens-per-sample: 2944", "momentum: 0.99", "max-update: 3",
        "adaptive-softmax-cutoff: [20000,60000]", "tie-adaptive-proj: true", "keep-last-epochs: \"-1\"",
        "quantization-config-path: /path/to/config/yaml", "skip-invalid-size-inputs-valid-test: true"}) {
    EXPECT_THAT(result.out, HasSubstr(std::string("\n") + line + "\n"));
  }
  const size_t without_effect = result.out.find("\n# without effect here\n");
  ASSERT_NE(without_effect, std::string::npos);
  for (const char* line : {"ddp-backend: no_c10d", "bucket-cap-mb: 25", "char-embedder-highway-layers: 2",
                           "character-embedding-dim: 4"}) {
    EXPECT_GT(result.out.find(std::string("\n") + line + "\n"), without_effect) << line;
  }
}

TEST_F(CommandLine, OptionsWithoutEffectAreListedOnce) {
  std::vector<std::string> arguments = {"train",        "--task",     "language_modeling",
                                        prepare_data(), "--save-dir", path("run")};
  // The same command for a model of this test's size: of repeated options the last wins.
  const std::string small =
      " --decoder-embed-dim 32 --decoder-ffn-embed-dim 32 --decoder-input-dim 32 --decoder-output-dim 32 "
      "--decoder-layers 1 --adaptive-input-cutoff 8,16 --adaptive-softmax-cutoff 8,16 "
      "--adaptive-input-factor 2 "
      "--adaptive-softmax-factor 2 --max-tokens 256 --tokens-per-sample 32 --update-freq 1 --max-update 3 "
      "--decoder-attention-heads 2 --threads 1 --quantization-config-path " +
      std::string(QN_SOURCE_DIR) + "/recipes/wiki103_ipq.yaml";
  for (const std::string& word : split(kQuantizeAsPrinted + small)) {
    arguments.push_back(word);
  }
  const auto restore = std::find(arguments.begin(), arguments.end(), "--restore-file");
  arguments.erase(restore, restore + 2);
  const Result result = qn_ok(arguments);
  const std::string listed =
      "options without effect here: --ddp-backend, --bucket-cap-mb, --char-embedder-highway-layers, "
      "--character-embedding-dim\n";
  EXPECT_THAT(result.err, HasSubstr(listed));
  EXPECT_EQ(result.err.find("without effect", result.err.find(listed) + listed.size()), std::string::npos);
  EXPECT_THAT(result.err, HasSubstr("--fp16: on a CPU this means bfloat16"));
  EXPECT_THAT(result.out, HasSubstr("stage | stage 3"));
}

TEST_F(CommandLine, ADumpedConfigurationTrainsTheSameModel) {
  // The architecture changes defaults (learned positions, gelu, pre-norm) that a dump must not undo.
  const std::vector<std::string> few = {"--arch", "transformer_lm_gpt2_tiny", "--max-update", "2"};
  const Result direct = qn_ok(train_arguments(path("direct"), few));
  std::vector<std::string> arguments = train_arguments(path("direct"), few);
  arguments.emplace_back("--dump-config");
  const std::string recipe = write("dumped.yaml", qn_ok(arguments).out);
  const Result again = qn_ok({"train", "--config", recipe, "--save-dir", path("again")});
  EXPECT_EQ(last_event(again.out, "done")["valid_loss"], last_event(direct.out, "done")["valid_loss"]);
  EXPECT_TRUE(read_file(path("again/model.qn")) == read_file(path("direct/model.qn")));
  EXPECT_THAT(again.err, testing::Not(HasSubstr("without effect")));

  const std::string big =
      qn_ok({"train", "data", "--arch", "transformer_lm_gpt2_small", "--dump-config"}).out;
  EXPECT_THAT(big, HasSubstr("\narch: transformer_lm_gpt2_small\n"));
  EXPECT_THAT(big, HasSubstr("\n#decoder-embed-dim: 1024\n"));
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
