#include "fixture.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

namespace quantnoise::cmd_test {

std::string sample_text(int lines, unsigned seed) {
  static const std::vector<std::string> kWords = {"in",    "the",  "beginning", "was",   "a",     "small",
                                                  "model", "and",  "it",        "read",  "every", "word",
                                                  "twice", "then", "slept",     "light", "over",  "water",
                                                  "said",  "let",  "there",     "be",    "noise", "."};
  std::mt19937 random(seed);
  std::string text;
  for (int line = 0; line < lines; ++line) {
    size_t word = random() % kWords.size();
    for (unsigned i = 0; i < 5 + random() % 8; ++i) {
      text += kWords[word] + " ";
      // Two followers for every word: there is something to learn.
      word = (word * 5 + 3 + random() % 2) % kWords.size();
    }
    text += ".\n";
  }
  return text;
}

void CommandTest::SetUp() {
  const auto* info = testing::UnitTest::GetInstance()->current_test_info();
  folder_ = testing::TempDir() + "qn_cmd_" + info->test_suite_name() + "_" + info->name() + "_" +
            std::to_string(::getpid());
  std::filesystem::create_directories(folder_);
}

void CommandTest::TearDown() { std::filesystem::remove_all(folder_); }

Result CommandTest::qn(const std::vector<std::string>& arguments, const std::string& input,
                       const std::map<std::string, std::string>& environment) const {
  return Process(arguments, folder_, input, environment).wait();
}

Result CommandTest::qn_ok(const std::vector<std::string>& arguments, const std::string& input) const {
  Result result = qn(arguments, input);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result;
}

std::string CommandTest::write(const std::string& name, const std::string& text) const {
  std::ofstream(path(name), std::ios::binary) << text;
  return path(name);
}

std::string CommandTest::prepare_data() const {
  const std::string data = path("data-bin");
  if (std::filesystem::exists(data)) return data;
  qn_ok({"preprocess", "--only-source", "--trainpref", write("train.txt", sample_text(200, 1)), "--validpref",
         write("valid.txt", sample_text(30, 2)), "--testpref", write("test.txt", sample_text(30, 3)),
         "--destdir", data, "--tokenizer", "words"});
  return data;
}

std::vector<std::string> CommandTest::train_arguments(const std::string& save_dir,
                                                      const std::vector<std::string>& more) const {
  std::vector<std::string> arguments = {"train",
                                        prepare_data(),
                                        "--save-dir",
                                        save_dir,
                                        "--arch",
                                        "transformer_lm",
                                        "--decoder-layers",
                                        "1",
                                        "--decoder-embed-dim",
                                        "16",
                                        "--decoder-ffn-embed-dim",
                                        "32",
                                        "--decoder-attention-heads",
                                        "2",
                                        "--share-decoder-input-output-embed",
                                        "--dropout",
                                        "0.1",
                                        "--attention-dropout",
                                        "0.1",
                                        "--optimizer",
                                        "adamw",
                                        "--adam-betas",
                                        "(0.9, 0.98)",
                                        "--lr",
                                        "5e-3",
                                        "--tokens-per-sample",
                                        "32",
                                        "--max-tokens",
                                        "256",
                                        "--max-update",
                                        "12",
                                        "--threads",
                                        "1",
                                        "--log-format",
                                        "json",
                                        "--log-interval",
                                        "1",
                                        "--no-epoch-checkpoints"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::string CommandTest::stages_yaml() const {
  return write("stages.yaml", R"(n_centroids:
    Linear: {key: in_features, value: {"*": 8}}
    Embedding: {key: embedding_dim, value: {"*": 8}}
block_sizes:
    Linear: {key: fuzzy_name, value: {fc: 8, attn: 4}}
    Embedding: {key: fuzzy_name, value: {emb: 4}}
layers_to_quantize:
    - decoder\.layers\.\d+\.fc[12]
    - decoder\.embed_tokens
    - decoder\.layers\.\d+\.self_attn\.(k_proj|v_proj|q_proj|out_proj)
)");
}

std::vector<std::string> CommandTest::stage_arguments(const std::string& save_dir, const std::string& model,
                                                      const std::vector<std::string>& more) const {
  std::vector<std::string> arguments = {"train",
                                        prepare_data(),
                                        "--save-dir",
                                        save_dir,
                                        "--restore-file",
                                        model,
                                        "--quantization-config-path",
                                        stages_yaml(),
                                        "--optimizer",
                                        "adamw",
                                        "--lr",
                                        "1e-3",
                                        "--tokens-per-sample",
                                        "32",
                                        "--max-tokens",
                                        "256",
                                        "--max-update",
                                        "9",
                                        "--threads",
                                        "1",
                                        "--log-format",
                                        "json",
                                        "--log-interval",
                                        "1",
                                        "--no-epoch-checkpoints"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::string CommandTest::train_model() const {
  const std::string save_dir = path("trained");
  if (!std::filesystem::exists(save_dir)) {
    qn_ok(train_arguments(save_dir, {"--quant-noise-pq", "0.1", "--quant-noise-pq-block-size", "4"}));
  }
  return save_dir + "/model.qn";
}

}  // namespace quantnoise::cmd_test
