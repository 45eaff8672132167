#include "quantnoise/nn/attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>

#include "learn/nn/block_gemm.h"
#include "quantnoise/base/error.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::nn {
namespace {

struct Case {
  int64_t batch, heads, queries, keys, dim;
  bool causal;
  double dropout;
  bool padding;
  at::ScalarType type;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << "B" << c.batch << " H" << c.heads << " Tq" << c.queries << " Tk" << c.keys << " D" << c.dim
       << (c.causal ? " causal" : "") << " p" << c.dropout << (c.padding ? " padded" : "") << " "
       << at::toString(c.type);
}

base::RandomStream stream_of(uint64_t seed) {
  return base::RandomStream(seed, base::hash_name("attention"), 3, 1);
}

/// Factor of every probability, by the formula in the header.
at::Tensor dropout_factors(const Case& c, const base::RandomStream& stream) {
  at::Tensor factors = at::ones({c.batch, c.heads, c.queries, c.keys});
  if (c.dropout == 0) return factors;
  float* factor = factors.mutable_data_ptr<float>();
  const uint64_t threshold = base::bernoulli_threshold(c.dropout);
  for (int64_t i = 0; i < factors.numel(); ++i) {
    factor[i] =
        stream.bits(static_cast<uint64_t>(i)) < threshold ? 0.0f : static_cast<float>(1 / (1 - c.dropout));
  }
  return factors;
}

at::Tensor plain_attention(const Case& c, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& factors, const at::Tensor& padding) {
  at::Tensor scores = at::matmul(q, k.transpose(2, 3)) / std::sqrt(static_cast<double>(c.dim));
  const double hidden = -std::numeric_limits<double>::infinity();
  if (c.causal) {
    const at::Tensor later = at::ones({c.queries, c.keys}, at::kBool).triu(1 + c.keys - c.queries);
    scores = scores.masked_fill(later, hidden);
  }
  if (padding.defined()) scores = scores.masked_fill(padding.view({c.batch, 1, 1, c.keys}), hidden);
  return at::matmul(at::softmax(scores, -1) * factors, v);
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kFloat) - b.to(at::kFloat)).abs().max() / b.to(at::kFloat).abs().max()).item<double>();
}

class AttentionTest : public ::testing::TestWithParam<Case> {};

TEST_P(AttentionTest, ForwardAndGradientsEqualThePlainFormulaWithTheSameMask) {
  const Case& c = GetParam();
  torch::manual_seed(1);
  // As a layer has them: (batch, T, heads, dim) seen as (batch, heads, T, dim).
  const auto input = [&](int64_t length) {
    return at::randn({c.batch, length, c.heads, c.dim}).to(c.type).to(at::kFloat);
  };
  at::Tensor plain[3] = {input(c.queries), input(c.keys), input(c.keys)};
  at::Tensor tiled[3];
  for (int i = 0; i < 3; ++i) {
    tiled[i] = plain[i].to(c.type).clone().requires_grad_();
    plain[i].requires_grad_();
  }
  at::Tensor padding;
  if (c.padding) {
    padding = at::zeros({c.batch, c.keys}, at::kBool);
    padding.narrow(1, c.keys - c.keys / 3, c.keys / 3).fill_(true);
  }
  const auto view = [](const at::Tensor& t) { return t.transpose(1, 2); };
  const at::Tensor expected = plain_attention(c, view(plain[0]), view(plain[1]), view(plain[2]),
                                              dropout_factors(c, stream_of(7)), padding);
  const at::Tensor found =
      attention(view(tiled[0]), view(tiled[1]), view(tiled[2]), c.causal, c.dropout, stream_of(7), padding);
  const double tolerance = c.type == at::kFloat ? 3e-6 : 1.5e-2;
  EXPECT_EQ(found.scalar_type(), c.type);
  EXPECT_LT(difference(found, expected), tolerance);

  const at::Tensor direction = at::randn(expected.sizes()).to(c.type);
  expected.backward(direction.to(at::kFloat));
  found.backward(direction);
  for (int i = 0; i < 3; ++i)
    EXPECT_LT(difference(tiled[i].grad(), plain[i].grad()), 2 * tolerance) << "input " << i;
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionTest,
                         ::testing::Values(Case{2, 3, 70, 70, 16, true, 0.1, false, at::kFloat},
                                           Case{2, 2, 128, 128, 64, true, 0.3, false, at::kFloat},
                                           Case{1, 2, 5, 5, 8, true, 0.5, false, at::kFloat},
                                           Case{1, 1, 33, 129, 20, true, 0.2, false, at::kFloat},
                                           Case{1, 2, 1, 9, 16, true, 0.2, false, at::kFloat},
                                           Case{2, 2, 65, 65, 16, false, 0.2, true, at::kFloat},
                                           Case{2, 2, 64, 63, 7, false, 0.0, true, at::kFloat},
                                           Case{2, 1, 10, 30, 16, true, 0.0, false, at::kFloat},
                                           Case{1, 1, 40, 1100, 16, false, 0.1, false, at::kFloat},
                                           Case{2, 3, 70, 70, 16, true, 0.1, false, at::kBFloat16},
                                           Case{2, 2, 128, 128, 64, true, 0.3, false, at::kBFloat16},
                                           Case{1, 1, 33, 129, 20, true, 0.2, true, at::kBFloat16},
                                           Case{1, 1, 33, 33, 7, true, 0.2, false, at::kBFloat16},
                                           Case{2, 2, 20, 20, 16, true, 0.0, false, at::kBFloat16}));

TEST(Attention, QueriesThatSeeNoKeyGiveZeros) {
  at::Tensor q = at::randn({1, 1, 3, 16}).requires_grad_();
  const at::Tensor padding = at::ones({1, 4}, at::kBool);
  const at::Tensor k = at::randn({1, 1, 4, 16});
  const at::Tensor out = attention(q, k, k, false, 0.1, stream_of(1), padding);
  out.sum().backward();
  EXPECT_TRUE(at::equal(out, at::zeros_like(out)));
  EXPECT_TRUE(at::equal(q.grad(), at::zeros_like(q)));
}

TEST(Attention, SameResultForAnyNumberOfThreads) {
  const int threads = at::get_num_threads();
  const at::Tensor q = at::randn({2, 3, 100, 32}), k = at::randn({2, 3, 100, 32}),
                   v = at::randn({2, 3, 100, 32});
  at::set_num_threads(1);
  const at::Tensor one = attention(q, k, v, true, 0.2, stream_of(1));
  at::set_num_threads(2);
  const at::Tensor two = attention(q, k, v, true, 0.2, stream_of(1));
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(one, two));
}

/// Bytes that tensors take from the allocator while this lives, and what of it is not given back.
class AllocationRecord : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    held_ += bytes;
    peak_ = std::max(peak_, held_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t held() const { return held_; }
  int64_t peak() const { return peak_; }

 private:
  int64_t held_ = 0;
  int64_t peak_ = 0;
};

TEST(Attention, KeepsNothingOfTheSizeOfTheScores) {
  const int64_t length = 2048, dim = 16;
  const int64_t one_input = length * dim * 4;
  const at::Tensor q = at::randn({1, 1, length, dim}).requires_grad_();
  const auto record = std::make_shared<AllocationRecord>();
  at::Tensor out;
  {
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, record);
    out = attention(q, q, q, true, 0.1, stream_of(1));
    EXPECT_GE(record->held(), one_input);
    // The result and one number a query; a mask of single bits would take 4 inputs.
    EXPECT_LE(record->held(), 2 * one_input);
    out.sum().backward();
  }
  EXPECT_LE(record->peak(), 10 * one_input);
}

TEST(Attention, RefusesShapesThatDoNotAgree) {
  const at::Tensor q = at::randn({1, 2, 3, 4});
  EXPECT_THROW(attention(q, at::randn({1, 2, 3, 5}), at::randn({1, 2, 3, 5}), false, 0.1, {}), Error);
  EXPECT_THROW(attention(q, q, q, false, 1.5, {}), Error);
  EXPECT_THROW(attention(q, q, q, false, 0.1, {}, at::zeros({1, 9}, at::kBool)), Error);
}

TEST(MultiheadAttention, InitialisesAsFairseqDoes) {
  torch::manual_seed(5);
  MultiheadAttention layer(MultiheadAttentionOptions(64, 4));
  const double bound = std::sqrt(6.0 / 128);
  EXPECT_NEAR(layer->q_proj->weight().abs().max().item<double>(), bound / std::sqrt(2.0), 0.01 * bound);
  EXPECT_NEAR(layer->out_proj->weight().abs().max().item<double>(), bound, 0.01 * bound);
  EXPECT_EQ(layer->out_proj->bias().abs().max().item<double>(), 0);
  EXPECT_GT(layer->k_proj->bias().abs().max().item<double>(), 0);
}

TEST(MultiheadAttention, CachedStepsEqualTheWholeSequence) {
  torch::manual_seed(5);
  MultiheadAttention layer(MultiheadAttentionOptions(32, 4).dropout(0.5));
  layer->eval();
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2, 9, 32});
  const at::Tensor whole = layer->forward(x, true);
  AttentionCache cache;
  std::vector<at::Tensor> parts;
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 4}, {4, 3}, {7, 1}, {8, 1}}) {
    parts.push_back(layer->forward(x.narrow(1, first, count), true, {}, &cache));
  }
  EXPECT_LT(difference(at::cat(parts, 1), whole), 1e-5);
  EXPECT_EQ(cache.key.size(2), 9);
}

}  // namespace
}  // namespace quantnoise::nn
