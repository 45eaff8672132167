// The real qn-run: what it prints, and where.

#include <regex>

#include "run_fixture.h"

namespace quantnoise::run_test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

using Command = RunTest;

TEST_F(Command, HelpAndVersionGoToStandardOutput) {
  const Result program = run_ok({"--help"});
  EXPECT_EQ(program.err, "");
  for (const char* name : {"generate", "score", "info", "bench"}) {
    EXPECT_THAT(program.out, HasSubstr(std::string("\n  ") + name + " "));
    EXPECT_THAT(run_ok({name, "--help"}).out, StartsWith(std::string("usage: qn-run ") + name));
  }
  EXPECT_THAT(run_ok({"--version"}).out, testing::MatchesRegex("qn-run [0-9.]+\n"));
}

TEST_F(Command, CommandsPageIsUpToDate) {
  const std::string page = cmd_test::read_file(std::string(QN_SOURCE_DIR) + "/docs/commands.md");
  EXPECT_THAT(page, testing::EndsWith(run_ok({"help-markdown"}).out))
      << "write it again: scripts/commands_page";
}

TEST_F(Command, GeneratesTheSameForASeedAndForAnyNumberOfThreads) {
  const std::vector<std::string> base = {"generate",      model(), "--prompt",      "w5 w9",
                                         "--max-len",     "8",     "--seed",        "3",
                                         "--num-samples", "3",     "--stop-at-eos", "false"};
  const Result first = run_ok(base);
  EXPECT_EQ(first.err, "");
  EXPECT_EQ(std::count(first.out.begin(), first.out.end(), '\n') >= 3, true);
  EXPECT_THAT(first.out, StartsWith("w5 w9"));
  for (const char* threads : {"1", "2", "3", "8"}) {
    std::vector<std::string> arguments = base;
    arguments.insert(arguments.end(), {"--threads", threads});
    EXPECT_EQ(run_ok(arguments).out, first.out) << threads;
  }
  std::vector<std::string> other = base;
  other[7] = "4";
  EXPECT_NE(run_ok(other).out, first.out);
}

TEST_F(Command, PromptsComeFromOptionsOrFromStandardInput) {
  const std::vector<std::string> options = {"--greedy", "--max-len", "5", "--log-format", "json"};
  std::vector<std::string> with_options = {"generate", model(), "--prompt", "w5 w9", "--prompt", "w7"};
  with_options.insert(with_options.end(), options.begin(), options.end());
  std::vector<std::string> with_input = {"generate", model()};
  with_input.insert(with_input.end(), options.begin(), options.end());
  const std::string lines = run_ok(with_options).out;
  EXPECT_EQ(cmd_test::json_lines(lines).size(), 2u);
  EXPECT_EQ(run_ok(with_input, "w5 w9\nw7\n").out, lines);
  // Together they may be rounded otherwise.
  with_input.insert(with_input.end(), {"--batch-size", "2"});
  const auto together = cmd_test::json_lines(run_ok(with_input, "w5 w9\nw7\n").out);
  ASSERT_EQ(together.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const json alone = cmd_test::json_lines(lines)[i];
    EXPECT_EQ(together[i]["text"], alone["text"]);
    EXPECT_NEAR(together[i]["log_prob"], alone["log_prob"].get<double>(), 1e-3);
  }
  EXPECT_EQ(run_ok(with_input, "").out, "");
}

TEST_F(Command, AnEmptyPromptStartsALineAndUnknownWordsAreReported) {
  const Result empty =
      run_ok({"generate", model(), "--prompt", "", "--greedy", "--max-len", "3", "--stop-at-eos", "false"});
  EXPECT_NE(empty.out, "\n");
  EXPECT_EQ(empty.err, "");
  const Result unknown =
      run_ok({"generate", model(), "--prompt", "w5 nowhere \xff", "--greedy", "--max-len", "3"});
  EXPECT_THAT(unknown.err,
              StartsWith("warning: 2 words of the prompt are not in the dictionary: w5 <unk> <unk>"));
}

TEST_F(Command, BeamSearchFindsWhatIsAtLeastAsProbable) {
  const auto log_prob = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"generate",     model(), "--prompt",      "w5",   "--max-len", "6",
                                          "--log-format", "json",  "--stop-at-eos", "false"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return cmd_test::json_lines(run_ok(arguments).out).front()["log_prob"].get<double>();
  };
  EXPECT_GE(log_prob({"--beam", "4"}), log_prob({"--greedy"}) - 1e-4);
  EXPECT_NEAR(log_prob({"--beam", "1"}), log_prob({"--greedy"}), 1e-9);
  const auto many = cmd_test::json_lines(run_ok({"generate", model(), "--prompt", "w5", "--max-len", "4",
                                                 "--beam", "3", "--nbest", "3", "--log-format", "json"})
                                             .out);
  EXPECT_EQ(many.size(), 3u);
}

TEST_F(Command, ReportsMemoryWhenAsked) {
  const Result result = run_ok({"generate", model(), "--prompt", "w5", "--max-len", "2", "--verbose"});
  EXPECT_TRUE(
      std::regex_search(result.err, std::regex("memory: file [1-9]\\d*, beside it \\d+, cache [1-9]\\d*")))
      << result.err;
}

class Score : public RunTest {
 protected:
  /// Sentences of words that the model knows, binarized and as text.
  void prepare() const {
    std::filesystem::create_directories(path("data"));
    text::Dictionary dictionary;
    while (dictionary.size() < 23) dictionary.add_symbol("w" + std::to_string(dictionary.size()));
    dictionary.save(path("data/dict.txt"));
    text::IndexedDatasetWriter writer(path("data/test"), text::TokenType::kUint16);
    std::string text;
    for (int line = 0; line < 12; ++line) {
      std::string sentence;
      for (int i = 0; i < 3 + line % 5; ++i)
        sentence += (i > 0 ? " w" : "w") + std::to_string(4 + (line * 7 + i * 5) % 19);
      writer.add(dictionary.encode_line(sentence));
      text += sentence + "\n";
    }
    writer.finish();
    write("test.txt", text);
  }
  json score(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"score", model(), "--log-format", "json", "--tokens-per-sample",
                                          "12"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return json::parse(run_ok(arguments).out);
  }
};

TEST_F(Score, ATextGivesWhatItsBinarizedFormGives) {
  prepare();
  const json of_text = score({"--text", path("test.txt")});
  const json of_data = score({"--data", path("data")});
  EXPECT_EQ(of_text["loss"], of_data["loss"]);
  EXPECT_EQ(of_text["tokens"], of_data["tokens"]);
  EXPECT_GT(of_text["ppl"], 1.0);
  EXPECT_EQ(of_text["precision"], "precise");
  const std::string text = cmd_test::read_file(path("test.txt"));
  const Result piped =
      run_ok({"score", model(), "--log-format", "json", "--tokens-per-sample", "12", "--text", "-"}, text);
  EXPECT_EQ(json::parse(piped.out)["loss"], of_text["loss"]);
}

TEST_F(Score, DoesNotDependOnThreads) {
  prepare();
  const json one = score({"--text", path("test.txt"), "--threads", "1"});
  for (const char* threads : {"2", "3", "8"})
    EXPECT_EQ(score({"--text", path("test.txt"), "--threads", threads})["loss"], one["loss"]) << threads;
}

TEST_F(Score, TablesAreNearAndFastTablesAlmost) {
  prepare();
  const double decoded = score({"--text", path("test.txt")})["loss"];
  const double tables = score({"--text", path("test.txt"), "--tables"})["loss"];
  const double fast = score({"--text", path("test.txt"), "--fast"})["loss"];
  EXPECT_NEAR(tables, decoded, 1e-4);
  EXPECT_NEAR(fast, decoded, 1e-2);
  EXPECT_NE(tables, decoded);
  EXPECT_NE(fast, tables);
}

TEST_F(Score, ContextHelpsNothingButIsSeen) {
  prepare();
  const json plain = score({"--data", path("data"), "--sample-break-mode", "eos"});
  const json with_context =
      score({"--data", path("data"), "--sample-break-mode", "eos", "--context-window", "4"});
  EXPECT_EQ(plain["tokens"], with_context["tokens"]);
  EXPECT_NE(plain["loss"], with_context["loss"]);
}

TEST_F(Score, PrintsResultsAloneOnStandardOutput) {
  prepare();
  const Result result = run_ok({"score", model(), "--text", path("test.txt"), "--tokens-per-sample", "12",
                                "--output-word-probs", "--results-json", path("results.json")});
  EXPECT_THAT(result.out, HasSubstr("\nLoss (base 2): "));
  EXPECT_THAT(result.out, StartsWith("0 w4 ["));
  EXPECT_THAT(result.err, StartsWith("evaluated "));
  const json results = json::parse(cmd_test::read_file(path("results.json")));
  EXPECT_EQ(results["split"], path("test.txt"));
}

TEST_F(Command, InfoNamesKernelsAndMemory) {
  const json machine = json::parse(run_ok({"info", "--json"}).out);
  EXPECT_FALSE(machine.contains("model"));
  const json info = json::parse(run_ok({"info", model(), "--json", "--threads", "2"}).out);
  EXPECT_EQ(info["threads"], 2);
  const json& layers = info["model"]["layers"];
  ASSERT_EQ(layers.size(), 14u);  // table, projection to the vocabulary, 2 · 6
  EXPECT_EQ(layers[0]["name"], "decoder.embed_tokens");
  EXPECT_EQ(layers.back()["tied_to"], "decoder.embed_tokens");
  int64_t bytes = 0;
  for (const json& layer : layers) {
    EXPECT_FALSE(layer["one_row"].get<std::string>().empty());
    bytes += layer["stored_bytes"].get<int64_t>();
  }
  EXPECT_LT(bytes, info["model"]["memory"]["file"].get<int64_t>());
  EXPECT_GT(info["model"]["memory"]["cache_a_token"], 0);
  const std::string text = run_ok({"info", model()}).out;
  EXPECT_THAT(text, HasSubstr("decoder.layers.0.fc1"));
  EXPECT_THAT(text, HasSubstr("tables of 16 bits"));
  EXPECT_THAT(run_ok({"info", model(), "--fast"}).out, HasSubstr("tables of 8 bits"));
}

TEST_F(Command, TheKernelSetCanBeForced) {
  const json info = json::parse(run_ok({"info", "--json"}, "", {{"QN_CPU", "portable"}}).out);
  EXPECT_EQ(info["kernels"], "portable");
  const std::vector<std::string> arguments = {"generate", model("int_untied"), "--prompt", "w5",
                                              "--greedy", "--max-len",         "6"};
  EXPECT_EQ(run_ok(arguments, "", {{"QN_CPU", "portable"}}).out, run_ok(arguments).out);
}

TEST_F(Command, BenchComparesWithDenseInOneRun) {
  const json bench =
      json::parse(run_ok({"bench", model("int_untied"), "--json", "--seconds", "0.001", "--batch", "1,2",
                          "--threads", "1", "--prompt-tokens", "4", "--new-tokens", "3"})
                      .out);
  EXPECT_FALSE(bench["cpu"].get<std::string>().empty());
  ASSERT_EQ(bench["whole"].size(), 2u);
  ASSERT_EQ(bench["layers"].size(), 2u * 13);
  for (const json& row : bench["whole"]) {
    for (const char* key : {"prompt_tokens_per_second", "generated_tokens_per_second", "prompt_speedup",
                            "generation_speedup", "bytes_a_step"}) {
      EXPECT_GT(row[key].get<double>(), 0) << key;
    }
    EXPECT_LT(row["bytes_a_step"], row["dense_bytes_a_step"]);
  }
  const std::string text = run_ok({"bench", model("int_untied"), "--seconds", "0", "--threads", "1",
                                   "--layers", "false", "--dense", "false", "--batch", "1"})
                               .out;
  EXPECT_THAT(text, HasSubstr("generation"));
  EXPECT_THAT(text, testing::Not(HasSubstr("layer by layer")));
}

}  // namespace
}  // namespace quantnoise::run_test
