// Layers whose inputs are quantized.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quantnoise/nn/attention.h"
#include "quantnoise/nn/functional.h"
#include "quantnoise/nn/linear.h"
#include "quantnoise/quant/scalar.h"

namespace quantnoise::nn {
namespace {

using ::testing::ElementsAre;
using Calibration = quant::ActivationQuantizer::Calibration;

quant::ActivationOptions static_options(double probability = 0) {
  quant::ActivationOptions options;
  options.mode = quant::ActivationMode::kStatic;
  options.probability = probability;
  return options;
}

const codec::AffineGrid kGrid{8, -1, {0.02f}, {100}};

at::Tensor torchs(const at::Tensor& x) {
  return at::fake_quantize_per_tensor_affine(x, static_cast<double>(kGrid.scales[0]), kGrid.zero_points[0], 0,
                                             255);
}

struct BlockImpl : torch::nn::Module {
  BlockImpl() {
    embed = register_module("embed", Embedding(EmbeddingOptions(20, 16)));
    attention = register_module("attention", MultiheadAttention(MultiheadAttentionOptions(16, 2)));
    output = register_module("output", Linear(LinearOptions(16, 20).bias(false)));
    output->tie_to(*embed);
    back = register_module("back", TransposedLinear(*output));
    quant::named_slots(*this);
    inputs = quant::named_activations(*this);
  }
  Embedding embed{nullptr};
  MultiheadAttention attention{nullptr};
  Linear output{nullptr};
  TransposedLinear back{nullptr};
  std::vector<quant::NamedActivation> inputs;
};
TORCH_MODULE(Block);

class QuantizedInputTest : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(1);
    quant::set_noise_clock({});
  }
};

TEST_F(QuantizedInputTest, EveryProductHasAnInputAndTablesHaveNone) {
  Block block;
  std::vector<std::string> names;
  for (const quant::NamedActivation& input : block->inputs) names.push_back(input.name);
  EXPECT_THAT(names, ElementsAre("attention.k_proj", "attention.out_proj", "output", "back"));
  EXPECT_THAT(block->inputs[0].layers,
              ElementsAre("attention.k_proj", "attention.v_proj", "attention.q_proj"));
  EXPECT_EQ(block->inputs[0].slots.size(), 3u);
  EXPECT_EQ(block->inputs[2].slots[0], block->embed->slot()) << "the other end of a tie reads another input";
}

TEST_F(QuantizedInputTest, ProductsReadTheQuantizedInput) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const quant::ComputeTypeGuard compute_type(type);
    Block block;
    quant::quantize_activations(*block, static_options());
    for (const quant::NamedActivation& input : block->inputs) input.quantizer->set_grid(kGrid);
    block->eval();
    const at::Tensor x = torch::randn({3, 5, 16});
    const at::Tensor y = torch::randn({3, 5, 20});
    EXPECT_TRUE(
        at::equal(block->output->forward(x), slot_linear(torchs(x), block->output->slot(), {}, false)));
    EXPECT_TRUE(
        at::equal(block->back->forward(y), slot_linear_transposed(torchs(y), block->output->slot(), false)));
    const at::Tensor rows = torch::tensor({3, 4}, at::kLong);
    EXPECT_TRUE(at::equal(block->embed->forward(rows), block->embed->weight().index_select(0, rows)));
    EXPECT_EQ(block->output->forward(x).scalar_type(), type);
  }
}

TEST_F(QuantizedInputTest, AttentionQuantizesItsOneInputOnce) {
  Block block;
  quant::quantize_activations(*block, static_options());
  for (const quant::NamedActivation& input : block->inputs)
    input.quantizer->start_calibration(Calibration::kTraining);
  const at::Tensor x = torch::randn({2, 7, 16});
  block->attention->forward(x, /*causal=*/true);
  const at::Tensor seen = block->inputs[0].quantizer->training_state().at("observer.bins");
  EXPECT_EQ(seen[0].item<int64_t>(), x.numel()) << "each value is counted once";
  for (const quant::NamedActivation& input : block->inputs) input.quantizer->finish_calibration();

  // By hand: the same attention on the fake-quantized input, and its result quantized before out_proj.
  block->eval();
  const at::Tensor quantized = block->attention->forward(x, true);
  const codec::AffineGrid in = *block->inputs[0].quantizer->grid();
  const codec::AffineGrid mixed = *block->inputs[1].quantizer->grid();
  const auto fake = [](const at::Tensor& value, const codec::AffineGrid& grid) {
    return at::fake_quantize_per_tensor_affine(value, static_cast<double>(grid.scales[0]),
                                               grid.zero_points[0], 0, 255);
  };
  quant::quantize_activations(*block, {});
  const at::Tensor input = fake(x, in);
  const auto split = [](const at::Tensor& t) { return t.view({2, 7, 2, 8}).transpose(1, 2); };
  const at::Tensor q = split(block->attention->q_proj(input)), k = split(block->attention->k_proj(input)),
                   v = split(block->attention->v_proj(input));
  const at::Tensor heads = attention(q, k, v, true, 0.0, {}).transpose(1, 2).reshape({2, 7, 16});
  EXPECT_TRUE(at::equal(quantized, block->attention->out_proj(fake(heads, mixed))));
}

TEST_F(QuantizedInputTest, RateOneInTrainingIsEvaluation) {
  Block block;
  quant::quantize_activations(*block, static_options(1));
  for (const quant::NamedActivation& input : block->inputs) input.quantizer->set_grid(kGrid);
  const at::Tensor x = torch::randn({2, 7, 16});
  block->train();
  const at::Tensor training = block->attention->forward(x, true);
  block->eval();
  EXPECT_TRUE(at::equal(block->attention->forward(x, true), training));
}

TEST_F(QuantizedInputTest, TheReferencesEntryPointQuantizesInputsToo) {
  Block block;
  const at::Tensor x = torch::randn({5, 16});
  quant::scalar::quantize_model_(*block, /*p=*/0, {}, /*inputs=*/{});
  block->eval();
  const at::Tensor weights_alone = block->output->forward(x);
  quant::scalar::quantize_model_(*block, /*p=*/0);
  block->eval();
  at::Tensor rows = at::empty_like(x);
  codec::fake_quantize_rows({x.const_data_ptr<float>(), 80}, 5, 16, 8, false,
                            {rows.mutable_data_ptr<float>(), 80}, quant::torch_parallel_for());
  EXPECT_TRUE(at::equal(block->output->forward(x), slot_linear(rows, block->output->slot(), {}, false)));
  EXPECT_FALSE(at::equal(block->output->forward(x), weights_alone));
}

TEST_F(QuantizedInputTest, WeightGradientsAreThoseOfTheQuantizedInput) {
  Linear layer(16, 8);
  layer->input_quantizer()->set_name("layer");
  layer->input_quantizer()->set_options(static_options(1));
  layer->input_quantizer()->set_grid(kGrid);
  at::Tensor x = torch::randn({12, 16}).requires_grad_();
  const at::Tensor grad = torch::randn({12, 8});
  layer->forward(x).backward(grad);
  EXPECT_TRUE(at::allclose(layer->weight().grad(), grad.t().mm(torchs(x.detach()))));
  EXPECT_TRUE(at::allclose(x.grad(), grad.mm(layer->weight().detach())));
}

}  // namespace
}  // namespace quantnoise::nn
