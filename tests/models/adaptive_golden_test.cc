// Adaptive input and softmax by themselves against tests/golden/models/adaptive.py: double precision, and
// gradients of everything.

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "learn/models/adaptive_input.h"
#include "learn/models/adaptive_softmax.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::models {
namespace {

using nlohmann::json;

/// How far fp32 may be from double precision, relative to the largest element.
constexpr double kOutputs = 2e-6;
constexpr double kGradients = 5e-6;

json golden_file(const std::string& name) {
  std::ifstream file(std::string(QN_SOURCE_DIR) + "/tests/golden/models/" + name);
  EXPECT_TRUE(file.good()) << name;
  return json::parse(file);
}

at::Tensor numbers(const json& nested) {
  if (!nested.at(0).is_array()) return torch::tensor(nested.get<std::vector<double>>(), at::kDouble);
  std::vector<at::Tensor> rows;
  for (const json& row : nested) rows.push_back(numbers(row));
  return at::stack(rows);
}

at::Tensor whole_numbers(const json& nested) { return numbers(nested).to(at::kLong); }

void expect_near(const at::Tensor& found, const json& golden, double tolerance, const std::string& what) {
  const at::Tensor expected = numbers(golden);
  ASSERT_EQ(found.sizes(), expected.sizes()) << what;
  const double scale = std::max(1.0, expected.abs().max().item<double>());
  EXPECT_LT((found.detach().to(at::kDouble) - expected).abs().max().item<double>(), tolerance * scale)
      << what;
}

TransformerLmOptions options_of(const json& golden) {
  TransformerLmOptions options;
  options.vocab_size = golden.at("vocab_size");
  options.padding_idx = golden.at("padding_idx");
  options.decoder_embed_dim = options.decoder_input_dim = options.decoder_output_dim = golden.at("dim");
  options.adaptive_input = true;
  options.adaptive_input_cutoff = options.adaptive_softmax_cutoff =
      golden.at("cutoff").get<std::vector<int64_t>>();
  options.adaptive_input_factor = options.adaptive_softmax_factor = golden.at("factor");
  return options;
}

/// Input and output under the names of the golden values; their ties are those of a model.
class Layers : public torch::nn::Module {
 public:
  explicit Layers(const TransformerLmOptions& options) {
    input = register_module("embed_tokens", AdaptiveInput(options));
    softmax = register_module("adaptive_softmax",
                              AdaptiveSoftmax(options, options.tie_adaptive_weights ? input.get() : nullptr));
  }

  /// Sets the weights of these names, and expects that there are no others.
  void set_weights(const json& golden) {
    const at::NoGradGuard no_grad;
    size_t num_set = 0;
    for (const auto& parameter : quant::unique_parameters(*this)) {
      at::Tensor tensor = parameter.tensor;
      tensor.copy_(numbers(golden.at(parameter.name)));
      ++num_set;
    }
    EXPECT_EQ(num_set, golden.size());
  }

  void zero_gradients() {
    for (const auto& parameter : quant::unique_parameters(*this)) {
      at::Tensor tensor = parameter.tensor;
      tensor.mutable_grad() = at::Tensor();
    }
  }

  /// Those of the golden object; a weight that took no part may have none, which is zero.
  void expect_gradients(const json& golden) {
    for (const auto& parameter : quant::unique_parameters(*this)) {
      const at::Tensor gradient = parameter.tensor.grad();
      expect_near(gradient.defined() ? gradient : at::zeros_like(parameter.tensor), golden.at(parameter.name),
                  kGradients, parameter.name);
    }
  }

  AdaptiveInput input{nullptr};
  AdaptiveSoftmax softmax{nullptr};
};

TEST(AdaptiveGolden, InputOutputsAndGradients) {
  const json golden = golden_file("adaptive_input.json");
  AdaptiveInput input(options_of(golden.at("options")));
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> weights;
  for (const auto& parameter : quant::unique_parameters(*input))
    weights["embed_tokens." + parameter.name] = parameter.tensor;
  ASSERT_EQ(weights.size(), golden.at("weights").size());
  for (auto& [name, tensor] : weights) tensor.copy_(numbers(golden.at("weights").at(name)));
  for (const json& item : golden.at("cases")) {
    SCOPED_TRACE(item.at("tokens").dump());
    const at::AutoGradMode with_gradients(true);
    for (auto& [name, tensor] : weights) tensor.mutable_grad() = at::Tensor();
    const at::Tensor found = input->forward(whole_numbers(item.at("tokens")));
    expect_near(found, item.at("outputs"), kOutputs, "outputs");
    (found * numbers(item.at("upstream")).to(at::kFloat)).sum().backward();
    ASSERT_EQ(item.at("gradients").size(), weights.size());
    for (const auto& [name, tensor] : weights) {
      const at::Tensor gradient = tensor.grad().defined() ? tensor.grad() : at::zeros_like(tensor);
      expect_near(gradient, item.at("gradients").at(name), kGradients, name);
    }
  }
}

class AdaptiveSoftmaxGolden : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const json golden = golden_file("adaptive_softmax.json");
    for (const json& item : golden.at("cases")) {
      if (item.at("name") == GetParam()) case_ = item;
    }
    TransformerLmOptions options = options_of(golden.at("options"));
    options.tie_adaptive_weights = case_.at("tie_weights");
    options.tie_adaptive_proj = case_.at("tie_proj");
    layers_ = std::make_shared<Layers>(options);
    layers_->set_weights(case_.at("weights"));
  }

  json case_;
  std::shared_ptr<Layers> layers_;
};

TEST_P(AdaptiveSoftmaxGolden, LossProbabilitiesAndGradients) {
  for (const json& batch : case_.at("batches")) {
    SCOPED_TRACE(batch.at("targets").dump());
    layers_->zero_gradients();
    const at::Tensor features = numbers(batch.at("features")).to(at::kFloat).requires_grad_();
    const at::Tensor targets = whole_numbers(batch.at("targets"));
    expect_near(layers_->softmax->log_probs(features), batch.at("log_probs"), kOutputs, "log_probs");
    expect_near(layers_->softmax->target_log_probs(features, targets), batch.at("target_log_probs"), kOutputs,
                "target_log_probs");
    const at::Tensor loss = layers_->softmax->nll_sum(features, targets);
    const double expected = batch.at("nll_sum");
    EXPECT_NEAR(loss.item<double>(), expected, kOutputs * expected);
    loss.backward();
    expect_near(features.grad(), batch.at("gradients").at("features"), kGradients, "features");
    layers_->expect_gradients(batch.at("gradients"));
  }
}

TEST_P(AdaptiveSoftmaxGolden, GradientsOfATieAddUpBothUses) {
  const json& batch = case_.at("batches").at(0);
  const json& with_input = case_.at("with_input");
  const at::Tensor outputs = layers_->input->forward(whole_numbers(with_input.at("tokens")));
  const at::Tensor loss = layers_->softmax->nll_sum(numbers(batch.at("features")).to(at::kFloat),
                                                    whole_numbers(batch.at("targets")));
  (loss + (outputs * numbers(with_input.at("upstream")).to(at::kFloat)).sum()).backward();
  EXPECT_EQ(with_input.at("gradients").size(), quant::unique_parameters(*layers_).size());
  layers_->expect_gradients(with_input.at("gradients"));
}

INSTANTIATE_TEST_SUITE_P(Ties, AdaptiveSoftmaxGolden, ::testing::Values("untied", "tied", "tied_proj"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace quantnoise::models
