// From text to one small file and back, with the real program.

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "fixture.h"

namespace quantnoise::cmd_test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

class Pipeline : public CommandTest {
 protected:
  json eval(const std::string& model, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"eval-lm", prepare_data(), "--path", model,       "--gen-subset",
                                          "valid",   "--log-format", "json",   "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return json::parse(qn_ok(arguments).out);
  }
  json inspect(const std::string& model) const {
    return json::parse(qn_ok({"inspect", model, "--json"}).out);
  }
};

json weight_named(const json& file, const std::string& name) {
  for (const json& weight : file["weights"]) {
    if (weight["name"] == name) return weight;
  }
  ADD_FAILURE() << "no weight " << name;
  return json::object();
}

void expect_close(const json& a, const json& b) {
  EXPECT_NEAR(a.get<double>() / b.get<double>(), 1, 1e-6) << a << " " << b;
}

TEST_F(Pipeline, PreprocessWritesFairseqsFilesAndReports) {
  const Result result = qn_ok({"preprocess", "--trainpref", write("t.txt", "a b b\nb c\n"), "--validpref",
                               write("v.txt", "a x\n"), "--destdir", path("bin"), "--thresholdsrc", "1",
                               "--padding-factor", "1"});
  EXPECT_EQ(result.out, "dictionary: 7 types\ntrain: " + path("t.txt") +
                            ": 2 sents, 7 tokens, 0% replaced (by <unk>)\nvalid: " + path("v.txt") +
                            ": 1 sents, 3 tokens, 33.3% replaced (by <unk>)\n");
  EXPECT_EQ(read_file(path("bin/dict.txt")), "b 3\na 1\nc 1\n");
  EXPECT_THAT(read_file(path("bin/train.idx")), StartsWith("MMIDIDX"));
}

TEST_F(Pipeline, TrainedModelIsEvaluatedToTheTrainersNumber) {
  const Result result =
      qn_ok(train_arguments(path("run"), {"--quant-noise-pq", "0.1", "--quant-noise-pq-block-size", "4"}));
  const json done = last_event(result.out, "done");
  ASSERT_EQ(done["path"], path("run/model.qn"));
  EXPECT_EQ(done["bytes"], std::filesystem::file_size(path("run/model.qn")));
  const json dense = eval(path("run/model.qn"));
  expect_close(dense["ppl"], done["valid_ppl"]);
  expect_close(eval(path("run/checkpoint_best.qn"))["ppl"], done["valid_ppl"]);
  EXPECT_EQ(dense["tokens_per_sample"], 32);
  EXPECT_EQ(dense["precision"], "fp32");
  for (const char* batch_size : {"1", "3"})
    expect_close(eval(path("run/model.qn"), {"--batch-size", batch_size})["ppl"], dense["ppl"]);
  expect_close(eval(path("run/model.qn"), {"--softmax-batch", "7"})["ppl"], dense["ppl"]);

  // Nothing but results on standard output, nothing but words on standard error.
  for (const json& event : json_lines(result.out)) EXPECT_EQ(event["event"], "done");
  EXPECT_GE(json_lines(result.err).size(), 12u);

  const json file = inspect(path("run/model.qn"));
  EXPECT_EQ(file["kind"], "model");
  EXPECT_EQ(file["size"]["training"], 0);
  for (const json& weight : file["weights"]) EXPECT_TRUE(weight["noised"].get<bool>()) << weight["name"];
  EXPECT_EQ(weight_named(file, "decoder.embed_tokens.weight")["aliases"],
            json({"decoder.output_projection.weight"}));
}

TEST_F(Pipeline, EvaluationWithContextAndWords) {
  const std::string model = train_model();
  const json plain = eval(model, {"--tokens-per-sample", "16"});
  const json context = eval(model, {"--context-window", "16"});
  EXPECT_EQ(plain["tokens"], context["tokens"]);
  EXPECT_NE(plain["ppl"], context["ppl"]);
  for (const char* batch_size : {"1", "3"}) {
    expect_close(eval(model, {"--context-window", "16", "--batch-size", batch_size})["ppl"], context["ppl"]);
  }
  const Result words =
      qn_ok({"eval-lm", prepare_data(), "--path", model, "--sample-break-mode", "eos", "--output-word-probs",
             "--output-word-stats", "--results-json", path("results.json")});
  EXPECT_THAT(words.out, testing::ContainsRegex("^0 [a-z]+ \\[-[0-9.]+\\]"));
  EXPECT_THAT(words.out, testing::ContainsRegex("\n</s>\t30\t-[0-9.]+\tFalse\t"));
  EXPECT_THAT(words.out, testing::ContainsRegex("\nLoss \\(base 2\\): [0-9.]+, Perplexity: [0-9.]+\n$"));
  EXPECT_EQ(json::parse(read_file(path("results.json")))["samples"], 30);
}

TEST_F(Pipeline, StagesCompressOnceEvaluateLoadAndSpeak) {
  const std::string dense = train_model();
  const Result result = qn_ok(stage_arguments(path("ipq"), dense));
  std::vector<json> stages;
  for (const json& event : json_lines(result.out)) {
    if (event["event"] == "stage") stages.push_back(event);
  }
  ASSERT_EQ(stages.size(), 3u);
  EXPECT_THAT(result.err, HasSubstr("decoder.layers.0.self_attn.out_proj"));  // the plan
  for (size_t i = 0; i < stages.size(); ++i) {
    const std::string file = path("ipq/model_stage" + std::to_string(i + 1) + ".qn");
    EXPECT_EQ(stages[i]["bytes"], std::filesystem::file_size(file));
    expect_close(eval(file)["ppl"], stages[i]["valid_ppl"]);
  }
  EXPECT_LT(stages[2]["size_mib"].get<double>(), stages[0]["size_mib"].get<double>());

  const std::string model = path("ipq/model.qn");
  expect_close(eval(model)["ppl"], last_event(result.out, "done")["valid_ppl"]);
  const json file = inspect(model);
  for (const json& weight : file["weights"]) EXPECT_EQ(weight["scheme"], "pq") << weight["name"];
  const json table = weight_named(file, "decoder.embed_tokens.weight");
  EXPECT_EQ(table["aliases"], json({"decoder.output_projection.weight"}));
  EXPECT_EQ(table["code_bits"], 3);
  EXPECT_EQ(file["history"]["stages"].size(), 3u);
  uint64_t sum = 0;
  for (const auto& [part, bytes] : file["size"].items()) sum += part == "file" ? 0 : bytes.get<uint64_t>();
  EXPECT_EQ(sum, file["size"]["file"]);

  const std::vector<std::string> speak = {"generate",  "--path", model,           "--prompt", "the beginning",
                                          "--max-len", "8",      "--num-samples", "2",        "--stop-at-eos",
                                          "false"};
  const Result spoken = qn_ok(speak);
  EXPECT_THAT(spoken.out, StartsWith("the beginning"));
  EXPECT_EQ(qn_ok(speak).out, spoken.out);
}

TEST_F(Pipeline, QuantizeWithoutFinetuningEqualsTheRawNumbersOfTheStages) {
  const std::string dense = train_model();
  const Result result =
      qn_ok({"quantize", dense, "--config", stages_yaml(), "-o", path("raw.qn"), "--log-format", "json"});
  const json done = last_event(result.out, "done");
  EXPECT_EQ(done["bytes"], std::filesystem::file_size(path("raw.qn")));
  EXPECT_LT(done["bytes"].get<int64_t>(), done["bytes_before"].get<int64_t>());
  const double raw = eval(path("raw.qn"))["loss"].get<double>();
  EXPECT_TRUE(std::isfinite(raw));
  EXPECT_GT(raw, eval(dense)["loss"].get<double>() - 0.5);
  // The first stage of the staged run quantizes the same weights from the same values.
  const Result staged = qn_ok(stage_arguments(path("ipq"), dense));
  const std::string one_stage = write(
      "one.yaml", read_file(stages_yaml()).substr(0, read_file(stages_yaml()).find("    - decoder\\.embed")));
  qn_ok({"quantize", dense, "--config", one_stage, "-o", path("one.qn")});
  expect_close(eval(path("one.qn"))["loss"],
               last_event(staged.out.substr(0, staged.out.find('\n') + 1), "stage_raw")["valid_loss"]);
}

TEST_F(Pipeline, Int4IsTrainedInspectedEvaluatedAndSpeaks) {
  const Result result = qn_ok(train_arguments(
      path("int4"), {"--quant-noise-scalar", "0.5", "--scalar-bits", "4", "--scalar-method", "channel-l2"}));
  EXPECT_THAT(result.err, HasSubstr("int4 noise on "));
  EXPECT_THAT(result.err, HasSubstr("int4, channel-l2: "));  // the plan
  const std::string model = path("int4/model.qn");
  expect_close(eval(model)["ppl"], last_event(result.out, "done")["valid_ppl"]);
  const json file = inspect(model);
  for (const json& weight : file["weights"]) {
    EXPECT_EQ(weight["scheme"], "affine") << weight["name"];
    EXPECT_EQ(weight["bits"], 4) << weight["name"];
    EXPECT_TRUE(weight["noised"].get<bool>()) << weight["name"];
  }
  EXPECT_EQ(file["history"]["noise"]["scalar"]["probability"], 0.5);
  EXPECT_THAT(qn_ok({"inspect", model}).out,
              HasSubstr("int4 noise, probability 0.5, method channel-l2, grids every 1000 updates"));
  EXPECT_THAT(qn_ok({"generate", "--path", model, "--prompt", "the beginning", "--max-len", "8"}).out,
              StartsWith("the beginning"));
}

TEST_F(Pipeline, QuantizeToIntNAndInt8Centroids) {
  const std::string dense = train_model();
  const Result result = qn_ok({"quantize", dense, "--scheme", "int8", "--method", "tensor", "-o",
                               path("int8.qn"), "--log-format", "json"});
  EXPECT_EQ(last_event(result.out, "scalar")["method"], "tensor");
  const double loss = eval(dense)["loss"].get<double>();
  EXPECT_NEAR(eval(path("int8.qn"))["loss"].get<double>(), loss, 0.02 * loss);
  EXPECT_THAT(qn_ok({"inspect", path("int8.qn")}).out, HasSubstr("quantized to int8 without training"));
  qn_ok({"quantize", dense, "--config", stages_yaml(), "-o", path("pq.qn")});
  qn_ok({"quantize", path("pq.qn"), "--pq-centroid-type", "int8", "-o", path("pq8.qn")});
  const json file = inspect(path("pq8.qn"));
  for (const json& weight : file["weights"]) EXPECT_EQ(weight["centroid_type"], "int8") << weight["name"];
  EXPECT_LT(file["size"]["centroids"], inspect(path("pq.qn"))["size"]["centroids"]);
}

TEST_F(Pipeline, ExportWritesPlainTensorsAndModelsWithoutTrainingState) {
  const std::string dense = train_model();
  qn_ok({"quantize", dense, "--config", stages_yaml(), "-o", path("raw.qn")});
  qn_ok({"export", path("raw.qn"), "--dequantize", "-o", path("plain.safetensors")});
  const std::string bytes = read_file(path("plain.safetensors"));
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i)
    length = length << 8 | static_cast<unsigned char>(bytes[static_cast<size_t>(i)]);
  const json header = json::parse(bytes.substr(8, length));
  EXPECT_EQ(header["decoder.layers.0.fc1.weight"]["dtype"], "F32");
  EXPECT_EQ(header["decoder.layers.0.fc1.weight"]["shape"], json({32, 16}));
  EXPECT_TRUE(header.contains("decoder.output_projection.weight"));

  qn_ok({"export", path("trained/checkpoint_best.qn"), "-o", path("exported.qn")});
  EXPECT_EQ(read_file(path("exported.qn")), read_file(dense));
}

TEST_F(Pipeline, GenerateReadsPromptsFromStandardInput) {
  const std::string model = train_model();
  const Result result =
      qn_ok({"generate", "--path", model, "--greedy", "--max-len", "5", "--log-format", "json"},
            "the beginning\nwater unheard\n");
  const std::vector<json> lines = json_lines(result.out);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["prompt"], "the beginning");
  EXPECT_EQ(lines[1]["prompt"], "water <unk>");
  EXPECT_EQ(result.err, "warning: 1 words of the prompt are not in the dictionary: water <unk>\n");
  const Result repeated = qn_ok({"generate", "--path", model, "--greedy", "--max-len", "5", "--log-format",
                                 "json", "--prompt", "the beginning", "--prompt", "water unheard"});
  EXPECT_EQ(repeated.out, result.out);
}

}  // namespace
}  // namespace quantnoise::cmd_test
