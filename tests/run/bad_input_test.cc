// Bad input for the real qn-run: exact words, exact exit codes.

#include "run_fixture.h"

namespace quantnoise::run_test {
namespace {

using testing::HasSubstr;

using BadInput = RunTest;

TEST_F(BadInput, WrongUsage) {
  expect_refused({}, 2, "error: qn-run needs a command\nhint: qn-run --help lists the commands\n");
  expect_refused({"genrate"}, 2, "error: unknown command 'genrate'\nhint: did you mean generate?\n");
  expect_refused(
      {"--fast"}, 2,
      "error: unknown option --fast\nhint: options stand behind the command: qn-run COMMAND --help\n");
  expect_refused({"generate"}, 2, "error: qn-run generate needs the argument model\n");
  expect_refused({"generate", "m", "--promt", "x"}, 2,
                 "error: unknown option --promt\nhint: did you mean --prompt?\n");
  expect_refused({"generate", "m", "more"}, 2,
                 "error: unexpected argument 'more'\nhint: qn-run generate --help lists what is expected\n");
  expect_refused({"score", "m"}, 2, "error: qn-run score needs either --text FILE or --data FOLDER\n");
  expect_refused({"score", "m", "--text", "a", "--data", "b"}, 2,
                 "error: qn-run score needs either --text FILE or --data FOLDER\n");
}

TEST_F(BadInput, ValuesOutOfRange) {
  expect_refused({"generate", "m", "--max-len", "8x"}, 2,
                 "error: option --max-len: found '8x', expected a whole number of at least 1\n");
  expect_refused({"generate", "m", "--threads", "0"}, 2,
                 "error: option --threads: found '0', expected a whole number from 1 to 1024\n");
  expect_refused({"generate", "m", "--temperature", "0"}, 2,
                 "error: temperature: found 0, expected a number above 0\n"
                 "hint: greedy choice always takes the best token\n");
  expect_refused({"generate", "m", "--top-p", "0"}, 2,
                 "error: top-p: found 0, expected a number above 0 and at most 1\n");
  expect_refused({"generate", "m", "--min-len", "9", "--max-len", "8"}, 2,
                 "error: min-len: found 9, expected at most max-len 8\n");
  expect_refused({"generate", "m", "--num-samples", "1001"}, 2,
                 "error: number of samples: found 1001, expected 1 to 1000\n");
  expect_refused({"generate", "m", "--beam", "100000"}, 2, "error: beam: found 100000, expected 1 to 1000\n");
  expect_refused({"generate", "m", "--beam", "2", "--num-samples", "3"}, 2,
                 "error: number of samples: found 3, expected at most the beam of 2\n");
  expect_refused(
      {"generate", "m", "--beam", "2", "--sampling"}, 4,
      "error: --beam 2 searches for the best text: it does not go together with --sampling or --greedy\n");
  expect_refused({"score", model(), "--text", write("t", "w5\n"), "--tokens-per-sample", "13"}, 2,
                 "error: --tokens-per-sample 13 is more than the 12 positions of the model\n");
  expect_refused({"score", model(), "--text", write("t", "w5\n"), "--context-window", "12"}, 2,
                 "error: --context-window 12 leaves no room in samples of 12 tokens: expected less than "
                 "--tokens-per-sample\n");
}

TEST_F(BadInput, FilesThatAreNoModels) {
  const Result missing = run({"generate", path("none.qn"), "--prompt", "x"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("error: cannot read " + path("none.qn")));
  const std::string whole = cmd_test::read_file(model());
  const std::vector<std::pair<std::string, std::string>> files = {
      {write("empty.qn", ""), "empty"},
      {write("torch.pt", std::string("PK\x03\x04", 4) + std::string(300, 'x')), "a PyTorch zip checkpoint"},
      {write("cut.qn", whole.substr(0, whole.size() / 2)), "cut.qn"},
      {write("header.qn", whole.substr(0, 40)), "header.qn"},
      {write("text.qn", "In the beginning\n"), "text.qn"}};
  for (const auto& [file, words] : files) {
    for (const char* command : {"generate", "info", "bench"}) {
      const Result result = run({command, file});
      EXPECT_EQ(result.exit_code, 3) << file << " " << result.err;
      EXPECT_THAT(result.err, HasSubstr(words));
      EXPECT_EQ(result.out, "");
    }
  }
}

TEST_F(BadInput, ModelsThatTheRuntimeCannotRun) {
  const std::string other =
      changed_model("other.qn", [](pack::ModelFile& file) { file.architecture = "resnet"; });
  expect_refused({"generate", other, "--prompt", "x"}, 4,
                 "error: in " + other +
                     ": the file holds a model of the family 'resnet', the runtime knows transformer_lm\n");
  const auto refused = [&](const std::string& name, const auto& change) {
    const std::string file = changed_model(name, change);
    const Result result = run({"generate", file, "--prompt", "x"});
    EXPECT_EQ(result.exit_code, 3) << result.err;
    EXPECT_THAT(result.err, HasSubstr(file));
    return result.err;
  };
  EXPECT_THAT(refused("gone.qn", [](auto& f) { f.weights.erase("decoder.layers.1.fc2.weight"); }),
              HasSubstr("the weight decoder.layers.1.fc2.weight is missing"));
  EXPECT_THAT(refused("bias.qn", [](auto& f) { f.tensors.erase("decoder.layers.1.fc2.bias"); }),
              HasSubstr("the tensor decoder.layers.1.fc2.bias is missing"));
  EXPECT_THAT(refused("more.qn",
                      [](auto& f) { f.tensors["decoder.extra"] = f.tensors["decoder.layers.1.fc2.bias"]; }),
              HasSubstr("does not know: decoder.extra"));
  EXPECT_THAT(refused("shape.qn",
                      [](auto& f) {
                        std::swap(f.weights.at("decoder.layers.0.fc1.weight"),
                                  f.weights.at("decoder.layers.0.fc2.weight"));
                      }),
              HasSubstr("decoder.layers.0.fc1.weight: found shape (16, 24), expected (24, 16)"));
  EXPECT_THAT(refused("tie.qn", [](auto& f) { f.ties.clear(); }), HasSubstr("the architecture ties"));
  EXPECT_THAT(
      refused("options.qn", [](auto& f) { f.options_json = R"({"vocab_size": 23, "decoder_heads": 2})"; }),
      HasSubstr("unknown option 'decoder_heads'"));
  EXPECT_THAT(
      refused("tokenizer.qn", [](auto& f) { f.blobs["tokenizer"] = runtime::test::bytes_of("none", 4); }),
      HasSubstr("unknown tokenizer 'none'"));
  EXPECT_THAT(
      refused("words.qn", [](auto& f) { f.blobs["dictionary"] = runtime::test::dictionary_blob(24); }),
      HasSubstr("the dictionary has 24 entries, the model's embedding 23"));
  EXPECT_THAT(
      refused("input.qn",
              [](auto& f) {
                f.activations.mode = pack::ActivationMode::kDynamic;
                f.activations.layers["decoder.layers.7.fc1"] = {};
              }),
      HasSubstr("quantized inputs of layers that transformer_lm does not know: decoder.layers.7.fc1"));
}

TEST_F(BadInput, PromptsAndTexts) {
  std::string long_prompt;
  for (int i = 0; i < 12; ++i) long_prompt += "w5 ";
  expect_refused({"generate", model(), "--prompt", long_prompt}, 3,
                 "error: the prompt has 13 tokens, the model sees at most 12\n");
  const Result second = run({"generate", model(), "--batch-size", "1"}, "w5\n" + long_prompt + "\n");
  EXPECT_EQ(second.exit_code, 3);
  EXPECT_EQ(second.err, "error: prompt 2 has 13 tokens, the model sees at most 12\n");
  expect_refused({"score", model(), "--text", write("empty.txt", "")}, 3,
                 "error: the text is empty: expected at least one line\n");
  expect_refused(
      {"score", model(), "--text", write("blank.txt", "\n"), "--sample-break-mode", "complete_doc"}, 3,
      "error: found no token to score in 0 samples, expected at least one\n");
  expect_refused({"score", model(), "--text", write("binary", std::string("w5 w6\n\0w7", 9))}, 3,
                 "error: cannot score " + path("binary") + ": found a zero byte at 6, expected text\n");
  const Result missing = run({"score", model(), "--text", path("none.txt")});
  EXPECT_EQ(missing.exit_code, 1);
  const Result folder = run({"score", model(), "--data", path("none")});
  EXPECT_EQ(folder.exit_code, 1);
  EXPECT_THAT(folder.err, HasSubstr("there is no such folder"));
}

TEST_F(BadInput, ResultsThatCannotBeWrittenAreStillPrinted) {
  const Result result =
      run({"score", model(), "--text", write("t", "w5 w6\n"), "--results-json", path("none/results.json")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("Perplexity: "));
  EXPECT_THAT(result.err, HasSubstr("cannot write " + path("none/results.json") + ": No such file"));
}

TEST_F(BadInput, DataOfAnotherDictionary) {
  std::filesystem::create_directories(path("data"));
  write("data/dict.txt", "a 1\nb 1\n");
  expect_refused(
      {"score", model(), "--data", path("data")}, 3,
      "error: the dictionary of " + path("data") +
          " is not the model's: entry 4 is 'a', expected 'w4'\nhint: prepare the data with the model's "
          "dictionary: qn preprocess --srcdict\n");
}

// The fault is not the file's: no file is named.
TEST_F(BadInput, KernelSetsThatAreNotHere) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"info"}, {"info", model()}, {"generate", model(), "--prompt", "w5"}}) {
    const Result unknown = run(arguments, "", {{"QN_CPU", "mmx"}});
    EXPECT_EQ(unknown.exit_code, 2) << unknown.err;
    EXPECT_THAT(unknown.err, testing::StartsWith("error: QN_CPU: found \"mmx\""));
    EXPECT_EQ(unknown.out, "");
  }
}

TEST_F(BadInput, StandardOutputThatCannotBeWritten) {
  cmd_test::Surroundings surroundings;
  surroundings.program = "qn-run";
  surroundings.out_path = "/dev/full";
  const Result result = cmd_test::Process({"info"}, folder_.path(), "", {}, surroundings).wait();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("cannot write to standard output"));
}

}  // namespace
}  // namespace quantnoise::run_test
