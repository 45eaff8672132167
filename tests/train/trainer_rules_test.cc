// Clipping, the loss scale and pruning against tests/golden/train/trainer_rules.py.

#include <gtest/gtest.h>

#include <cstring>
#include <sstream>

#include "golden_file.h"
#include "quantnoise/base/error.h"
#include "quantnoise/train/prune.h"
#include "quantnoise/train/trainer.h"

namespace quantnoise::train {
namespace {

using nlohmann::json;

/// A loss whose gradients are given: Σ parameter · gradient.
class GivenGradients : public models::LanguageModel {
 public:
  explicit GivenGradients(const std::vector<std::vector<float>>& gradients) {
    for (const std::vector<float>& values : gradients) {
      gradients_.push_back(torch::tensor(values));
      parameters_.push_back(
          register_parameter(str_cat("p", parameters_.size()), torch::zeros_like(gradients_.back())));
    }
  }
  at::Tensor features(const at::Tensor& tokens, models::DecoderCache*) override { return tokens; }
  at::Tensor output(const at::Tensor& features) override { return features; }
  at::Tensor nll_sum(const at::Tensor&, const at::Tensor&) override {
    at::Tensor sum = torch::zeros({});
    for (size_t i = 0; i < parameters_.size(); ++i) sum = sum + (parameters_[i] * gradients_[i]).sum();
    return sum;
  }
  at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor&) override { return features; }
  int64_t max_positions() const override { return 8; }
  std::string architecture() const override { return "given"; }
  std::string options_json() const override { return "{}"; }

  /// What plain gradient descent at rate 1 has subtracted.
  std::vector<std::vector<double>> steps() const {
    std::vector<std::vector<double>> steps;
    for (const at::Tensor& parameter : parameters_) {
      const at::Tensor step = -parameter.detach().to(at::kDouble);
      steps.emplace_back(step.const_data_ptr<double>(), step.const_data_ptr<double>() + step.numel());
    }
    return steps;
  }

 private:
  std::vector<at::Tensor> gradients_;
  std::vector<at::Tensor> parameters_;
};

/// One target: gradients are divided by one.
data::Batch one_target() {
  data::Batch batch;
  batch.tokens = batch.target = torch::full({1, 1}, text::kEos, at::kLong);
  batch.num_tokens = batch.num_sentences = 1;
  return batch;
}

void expect_clipped(const std::vector<std::vector<float>>& gradients, const json& golden) {
  SCOPED_TRACE(testing::Message() << "clip " << golden.at("max_norm"));
  const auto model = std::make_shared<GivenGradients>(gradients);
  LrSchedulerOptions schedule;
  schedule.lr = {1.0};
  auto optimizer = make_optimizer("sgd", {});
  optimizer->bind(quant::unique_parameters(*model));
  Trainer trainer(model, make_criterion("cross_entropy", {}), std::move(optimizer),
                  make_lr_scheduler("fixed", schedule), {.clip_norm = golden.at("max_norm")});
  const std::vector<data::Batch> batches = {one_target()};
  const UpdateStats stats = trainer.update(batches);
  const double norm = golden.at("norm");
  EXPECT_NEAR(stats.gradient_norm, norm, 1e-6 * norm);
  const auto found = model->steps();
  const auto expected = golden.at("clipped").get<std::vector<std::vector<double>>>();
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].size(), expected[i].size());
    for (size_t j = 0; j < found[i].size(); ++j) {
      EXPECT_NEAR(found[i][j], expected[i][j], 3e-7 * std::abs(expected[i][j])) << i << " " << j;
    }
  }
}

TEST(TrainerRules, OneNormOverAllTensorsIsClipped) {
  const json golden = test::golden_file("trainer_rules.json");
  for (const json& group : golden.at("clipping")) {
    for (const json& item : group.at("cases")) {
      expect_clipped(group.at("gradients").get<std::vector<std::vector<float>>>(), item);
    }
  }
}

void expect_scales(const json& golden) {
  const json& options = golden.at("options");
  const auto events = golden.at("events").get<std::string>();
  SCOPED_TRACE(events);
  LossScale scale(
      {options.at("initial"), options.at("window"), options.value("threshold", 0.0), /*smallest=*/1e-4});
  for (size_t i = 0; i < events.size(); ++i) {
    const bool ends = golden.at("ended") && i + 1 == events.size();
    if (events[i] == '.') {
      scale.succeed();
    } else if (ends) {
      EXPECT_THROW(scale.overflow(), Error);
    } else {
      scale.overflow();
    }
    EXPECT_EQ(scale.value(), golden.at("scales").at(i).get<double>()) << i;
  }
}

TEST(TrainerRules, LossScaleDoublesAndHalves) {
  const json golden = test::golden_file("trainer_rules.json");
  for (const json& item : golden.at("loss_scale")) expect_scales(item);
  for (const json& item : golden.at("loss_scale_windows")) {
    if (item.at("world_size") != 1) continue;
    EXPECT_EQ(loss_scale_window(item.at("update_freq")), item.at("window").get<int64_t>());
  }
}

TEST(TrainerRules, OverflowSkipsTheUpdateAndTheNextScaleFits) {
  // 128 and 64 times this exceeds fp32, 32 times does not.
  const auto model = std::make_shared<GivenGradients>(std::vector<std::vector<float>>{{1e37F, -2.0F}});
  LrSchedulerOptions schedule;
  schedule.lr = {1.0};
  auto optimizer = make_optimizer("sgd", {});
  optimizer->bind(quant::unique_parameters(*model));
  Trainer trainer(model, make_criterion("cross_entropy", {}), std::move(optimizer),
                  make_lr_scheduler("fixed", schedule), {.loss_scale = LossScaleOptions()});
  const std::vector<data::Batch> batches = {one_target()};
  for (int overflow = 0; overflow < 2; ++overflow) {
    EXPECT_TRUE(trainer.update(batches).overflowed);
    EXPECT_EQ(trainer.num_updates(), 0);
    EXPECT_EQ(model->steps()[0], (std::vector<double>{0, 0}));
  }
  EXPECT_FALSE(trainer.update(batches).overflowed);
  EXPECT_EQ(trainer.num_updates(), 1);
  // Powers of two leave no trace in the step.
  EXPECT_EQ(model->steps()[0], (std::vector<double>{1e37F, -2}));
}

/// A file with these names: matrices are weights, all else tensors; each holds its own number.
class NumberedFile {
 public:
  explicit NumberedFile(int64_t num_layers) {
    file.options_json = json{{"decoder_layers", num_layers}}.dump();
    file.kind = "checkpoint";
    file.tensors["training.optimizer.decoder.layers.0.fc1.weight/exp_avg"] = raw(-1);
  }
  void add(const std::string& name) {
    const auto number = static_cast<float>(numbers.size());
    if (name.ends_with("norm.weight") || name.ends_with("bias")) {
      file.tensors[name] = raw(number);
    } else {
      file.weights[name] = codec::pack_dense(std::vector<float>{number}, {1, 1});
    }
    numbers[name] = number;
  }
  /// Every name with its number.
  std::map<std::string, float> content() const {
    std::map<std::string, float> content;
    for (const auto& [name, weight] : file.weights) content[name] = codec::unpack_to_float(weight).at(0);
    for (const auto& [name, tensor] : file.tensors) {
      content[name] = *reinterpret_cast<const float*>(tensor.data.bytes.data());
    }
    return content;
  }

  pack::ModelFile file;
  std::map<std::string, float> numbers;

 private:
  static pack::RawTensor raw(float number) {
    pack::RawTensor tensor;
    tensor.shape = {1};
    std::vector<std::byte> bytes(sizeof number);
    std::memcpy(bytes.data(), &number, sizeof number);
    tensor.data = codec::ByteBlock::own(std::move(bytes));
    return tensor;
  }
};

void expect_pruned(const json& golden) {
  SCOPED_TRACE(golden.at("layers_to_keep"));
  NumberedFile numbered(golden.at("num_layers"));
  std::map<std::string, float> expected;
  for (const auto& [before, after] : golden.at("renamed").items()) {
    numbered.add(before);
    expected[after] = numbered.numbers.at(before);
  }
  for (const json& name : golden.at("dropped")) numbered.add(name);
  // In the order given, which is not always a rising one.

  std::vector<int64_t> layers;
  std::istringstream list(golden.at("layers_to_keep").get<std::string>());
  for (std::string number; std::getline(list, number, ',');) layers.push_back(std::stoll(number));
  keep_decoder_layers(numbered.file, layers);
  EXPECT_EQ(numbered.content(), expected);
  EXPECT_EQ(numbered.file.kind, "model");
  EXPECT_EQ(json::parse(numbered.file.options_json).at("decoder_layers"), golden.at("num_kept"));
  EXPECT_EQ(checked_layers(layers, golden.at("num_layers")), golden.at("kept").get<std::vector<int64_t>>());
}

TEST(TrainerRules, KeptLayersAreNumberedAnew) {
  int num_cases = 0;
  const json golden = test::golden_file("trainer_rules.json");
  for (const json& item : golden.at("pruning")) {
    if (item.at("side") != "decoder") continue;  // models here have no other
    expect_pruned(item);
    ++num_cases;
  }
  EXPECT_GE(num_cases, 5);
}

TEST(TrainerRules, TiesFollowTheirLayers) {
  NumberedFile numbered(3);
  for (const char* name : {"decoder.layers.0.fc1.weight", "decoder.layers.2.fc1.weight"}) numbered.add(name);
  numbered.file.ties["decoder.layers.2.twin.weight"] = "decoder.layers.2.fc1.weight";
  keep_decoder_layers(numbered.file, {2});
  EXPECT_EQ(
      numbered.file.ties,
      (std::map<std::string, std::string>{{"decoder.layers.0.twin.weight", "decoder.layers.0.fc1.weight"}}));
  numbered.file.options_json = R"({"decoder_layers": 2})";
  numbered.add("decoder.layers.1.fc1.weight");
  numbered.file.ties["decoder.layers.0.twin.weight"] = "decoder.layers.1.fc1.weight";
  EXPECT_THROW(keep_decoder_layers(numbered.file, {0}), Error);
}

}  // namespace
}  // namespace quantnoise::train
