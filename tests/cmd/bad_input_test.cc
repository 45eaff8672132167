// Bad input: exact words, exact exit codes, nothing lost.

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "fixture.h"

namespace quantnoise::cmd_test {
namespace {

using testing::HasSubstr;

class BadInput : public CommandTest {
 protected:
  void expect_refused(const std::vector<std::string>& arguments, int exit_code,
                      const std::string& err) const {
    const Result result = qn(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_EQ(result.err, err);
    EXPECT_EQ(result.out, "");
  }
  std::vector<std::string> eval(const std::string& data, const std::string& model) const {
    return {"eval-lm", data, "--path", model, "--gen-subset", "valid"};
  }
  std::vector<std::string> quantize(const std::string& model, const std::string& config) const {
    return {"quantize", model, "--config", config, "-o", path("out.qn")};
  }
  /// The stages with some text replaced.
  std::string changed_stages(const std::string& name, const std::string& from, const std::string& to) const {
    std::string text = read_file(stages_yaml());
    const size_t place = text.find(from);
    EXPECT_NE(place, std::string::npos);
    return write(name, text.replace(place, from.size(), to));
  }
  /// A copy of the data folder to damage.
  std::string copied_data(const std::string& name) const {
    std::filesystem::copy(prepare_data(), path(name));
    return path(name);
  }
  std::string valid_bytes(const std::string& folder) const { return read_file(folder + "/valid.bin"); }
};

// fairseq's examples/quant_noise/transformer_quantization_config.yaml: its patterns match nothing.
constexpr char kReferenceYaml[] = R"(n_centroids:
    Linear:
        key: in_features
        value: {"*": 256}
    Embedding:
        key: embedding_dim
        value: {"*": 256}
block_sizes:
    Linear:
        key: fuzzy_name
        value: {fc: 8, attn: 4, emb: 4}
    Embedding:
        key: fuzzy_name
        value: {emb: 8}
layers_to_quantize:
    - decoder\\.layers\\.\d+\\.fc[12]
    - decoder\\.embed_tokens\\.embeddings\\.[012]\\.[01]
    - decoder\\.layers\\.\d+\\.self_attn\\.(k_proj|v_proj|q_proj|out_proj)
)";

TEST_F(BadInput, NoiseThatDoesNotFitNamesTheLayer) {
  expect_refused(
      train_arguments(path("run"), {"--quant-noise-pq", "0.1", "--quant-noise-pq-block-size", "7"}), 2,
      "error: noise of 'decoder.embed_tokens': found block size 7, expected a divisor of its 16 input "
      "features\n");
  expect_refused(
      train_arguments(path("run"), {"--quant-noise-pq", "1"}), 2,
      "error: noise of 'decoder.embed_tokens': found probability 1, expected at least 0 and less than 1 for "
      "kind pq\n");
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

TEST_F(BadInput, QuantizationConfigurations) {
  const std::string model = train_model();
  expect_refused(
      quantize(model, write("reference.yaml", kReferenceYaml)), 2,
      "error: stage 1: the pattern 'decoder\\\\.layers\\\\.\\d+\\\\.fc[12]' matches no layer; nearest names: "
      "decoder.layers.0.fc1, decoder.layers.0.fc2\n"
      "hint: its backslashes are doubled; in a YAML value without double quotes one is enough: \\. and "
      "\\d\n");
  expect_refused(quantize(model, changed_stages("typo.yaml", "embed_tokens", "embed_token")), 2,
                 "error: stage 2: the pattern 'decoder\\.embed_token' matches no layer; nearest names: "
                 "decoder.embed_tokens\n");
  expect_refused(
      quantize(model, changed_stages("five.yaml", "fc: 8", "fc: 5")), 2,
      "error: layer decoder.layers.0.fc1: found block size 5, expected a divisor of its 16 columns\n");
  const Result unknown = qn(quantize(model, changed_stages("key.yaml", "n_centroids", "n_centroid")));
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("key.yaml:1:1: "));
  EXPECT_FALSE(std::filesystem::exists(path("out.qn")));
}

TEST_F(BadInput, StagesNeedADivisibleNumberOfUpdates) {
  const std::string model = train_model();
  expect_refused(stage_arguments(path("run"), model, {"--max-update", "10", "--log-format", "none"}), 2,
                 "error: --max-update 10 cannot be shared out among 3 stages: it is not a multiple of 3\n"
                 "hint: --max-update 9 or 12 would do\n");
}

TEST_F(BadInput, RestoringAndConflicts) {
  expect_refused(train_arguments(path("run"), {"--restore-file", path("nowhere.qn")}), 1,
                 "error: cannot restore from " + path("nowhere.qn") + " (--restore-file): no such file\n");
  const std::string model = train_model();
  expect_refused(
      train_arguments(path("run"), {"--restore-file", model, "--decoder-layers", "2"}), 2,
      "error: --decoder-layers 2 conflicts with the restored file, whose model has decoder_layers = 1\n"
      "hint: leave the option out: the architecture comes from the file\n");
}

TEST_F(BadInput, ForeignAndDamagedModelsAtEveryReader) {
  const std::string data = prepare_data();
  const std::string foreign = write("model.pt", std::string("PK\x03\x04") + std::string(100, 'x'));
  const std::string message =
      "error: cannot read " + foreign + ": this is a PyTorch zip checkpoint, expected a safetensors file\n";
  const std::vector<std::vector<std::string>> readers = {
      eval(data, foreign),
      {"inspect", foreign},
      {"export", foreign, "-o", path("out.qn")},
      {"generate", "--path", foreign, "--prompt", "a"},
      quantize(foreign, stages_yaml()),
      train_arguments(path("run"), {"--restore-file", foreign})};
  for (const std::vector<std::string>& reader : readers) {
    const Result result = qn(reader);
    EXPECT_EQ(result.exit_code, 3) << reader[0];
    EXPECT_THAT(result.err, testing::StartsWith(message)) << reader[0];
  }
  const std::string whole = read_file(train_model());
  for (const size_t size : {size_t{0}, size_t{5}, size_t{200}, whole.size() / 2, whole.size() - 1}) {
    const Result result = qn({"inspect", write("cut.qn", whole.substr(0, size))});
    EXPECT_EQ(result.exit_code, 3) << size;
    EXPECT_THAT(result.err, testing::StartsWith("error: cannot read " + path("cut.qn") + ": ")) << size;
  }
}

TEST_F(BadInput, DamagedDataFolders) {
  const std::string model = train_model();
  expect_refused(
      eval(path("nothing"), model), 1,
      "error: cannot read the data folder " + path("nothing") +
          ": there is no such folder\nhint: qn preprocess --only-source --trainpref TEXT … --destdir FOLDER "
          "makes such a folder\n");
  expect_refused({"eval-lm", prepare_data(), "--path", model, "--gen-subset", "exam"}, 3,
                 "error: no split 'exam' in " + prepare_data() + ": found test, train, valid\n");

  const std::string cut = copied_data("cut");
  const std::string bytes = valid_bytes(cut);
  std::filesystem::resize_file(cut + "/valid.bin", 100);
  const std::string expected = std::to_string(bytes.size());
  expect_refused(eval(cut, model), 3,
                 "error: cannot read " + cut + "/valid.bin: found 100 bytes, expected " + expected +
                     " for the " + std::to_string(bytes.size() / 2) + " tokens of " + cut + "/valid.idx\n");

  const std::string foreign = copied_data("foreign");
  std::filesystem::copy_file(model, foreign + "/valid.idx",
                             std::filesystem::copy_options::overwrite_existing);
  expect_refused(
      eval(foreign, model), 3,
      "error: cannot read " + foreign +
          "/valid.idx: found a safetensors file, expected the index of fairseq's binarized data\n");

  const std::string words = copied_data("words");
  write("words/dict.txt", "a b c\n");
  expect_refused(eval(words, model), 3,
                 "error: cannot read the dictionary " + words +
                     "/dict.txt, line 1: found the count 'c', expected a whole number of at least 0\n");
}

TEST_F(BadInput, DictionaryThatIsNotTheModels) {
  const std::string model = train_model();
  const std::string other = copied_data("other");
  std::string dictionary = read_file(other + "/dict.txt");
  dictionary.replace(0, dictionary.find(' '), "stranger");
  write("other/dict.txt", dictionary);
  const Result result = qn(eval(other, model));
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("error: the dictionary of " + other +
                                    " is not the model's: entry 4 is 'stranger', expected '"));
  EXPECT_THAT(result.err,
              HasSubstr("hint: prepare the data with the model's dictionary: qn preprocess --srcdict\n"));
  std::vector<std::string> training = train_arguments(path("run"), {"--restore-file", model});
  training[1] = other;
  EXPECT_EQ(qn(training).exit_code, 3);
}

TEST_F(BadInput, EmptySplitsAndTexts) {
  const std::string model = train_model();
  const std::string data = copied_data("empty");
  // An index without sentences, as fairseq writes it.
  std::string index("MMIDIDX\0\0\1\0\0\0\0\0\0\0\10\0\0\0\0\0\0\0\0", 26);
  write("empty/valid.idx", index);
  write("empty/valid.bin", "");
  const std::string message =
      "error: the split 'valid' in " + data + " is empty: found no tokens, expected at least one sentence\n";
  expect_refused(eval(data, model), 3, message);
  std::vector<std::string> training = train_arguments(path("run"), {"--log-format", "none"});
  training[1] = data;
  const Result result = qn(training);
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, testing::EndsWith(message));
  expect_refused(
      {"preprocess", "--trainpref", write("nothing.txt", ""), "--destdir", path("bin")}, 3,
      "error: cannot use " + path("nothing.txt") + ": the file is empty, expected lines of text\n");
}

TEST_F(BadInput, FullDiskLeavesThePreviousCheckpoint) {
  const std::vector<std::string> first = train_arguments(path("run"), {"--max-update", "5"});
  qn_ok(first);
  const std::string last = read_file(path("run/checkpoint_last.qn"));
  const std::string best = read_file(path("run/checkpoint_best.qn"));
  const Surroundings small_disk{.out_path = {}, .largest_file_bytes = 20'000};
  const Result result = Process(train_arguments(path("run")), folder_, "", {}, small_disk).wait();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err,
              HasSubstr("\nerror: cannot write " + path("run/checkpoint_best.qn") + ": File too large\n"));
  EXPECT_EQ(read_file(path("run/checkpoint_last.qn")), last);
  EXPECT_EQ(read_file(path("run/checkpoint_best.qn")), best);
  for (const auto& entry : std::filesystem::directory_iterator(path("run"))) {
    EXPECT_EQ(entry.path().extension(), ".qn") << "left behind: " << entry.path();
  }
}

TEST_F(BadInput, LossThatIsNotFiniteNamesTheLayerAndLeavesTheCheckpoint) {
  qn_ok(train_arguments(path("run"), {"--max-update", "5"}));
  const std::string last = read_file(path("run/checkpoint_last.qn"));
  const Result result = qn(train_arguments(path("run"), {"--lr", "1e30", "--reset-lr-scheduler"}));
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("\nerror: the loss of update 7 is "));
  EXPECT_THAT(result.err, HasSubstr("layer decoder."));
  EXPECT_THAT(result.err, HasSubstr("\nhint: lower --lr"));
  EXPECT_EQ(read_file(path("run/checkpoint_last.qn")), last);
}

TEST_F(BadInput, EvaluationWindowsThatDoNotFit) {
  const std::string model = train_model();
  std::vector<std::string> window = eval(prepare_data(), model);
  window.insert(window.end(), {"--context-window", "32"});
  expect_refused(window, 2,
                 "error: --context-window 32 leaves no room in samples of 32 tokens: expected less than "
                 "--tokens-per-sample\n");
  std::vector<std::string> longer = eval(prepare_data(), model);
  longer.insert(longer.end(), {"--tokens-per-sample", "64"});
  expect_refused(longer, 2, "error: --tokens-per-sample 64 is more than the 32 positions of the model\n");
}

}  // namespace
}  // namespace quantnoise::cmd_test
