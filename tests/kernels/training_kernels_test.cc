// Dropout, attention, cross-entropy and layer norm loops: every set against plain formulas in double
// precision; dropout to the bit.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "quantnoise/base/random.h"
#include "quantnoise/kernels/attention.h"
#include "quantnoise/kernels/cross_entropy.h"
#include "quantnoise/kernels/dropout.h"
#include "quantnoise/kernels/instruction_set.h"
#include "quantnoise/kernels/layer_norm.h"
#include "sample_values.h"

namespace quantnoise::kernels {
namespace {

struct Sets {
  const DropoutKernels* dropout;
  const AttentionKernels* attention;
  const AttentionTrainingKernels* attention_training;
  const CrossEntropyKernels* cross_entropy;
  const CrossEntropyTrainingKernels* cross_entropy_training;
  const LayerNormKernels* layer_norm;
  const LayerNormTrainingKernels* layer_norm_training;
};

std::vector<Sets> runnable_sets() {
  std::vector<Sets> sets;
  for (const InstructionSet* table : available_instruction_sets()) {
    const std::string_view name = table->name;
    if (name == "portable")
      sets.push_back({&kDropoutPortable, &kAttentionPortable, &kAttentionTrainingPortable,
                      &kCrossEntropyPortable, &kCrossEntropyTrainingPortable, &kLayerNormPortable,
                      &kLayerNormTrainingPortable});
#if defined(__x86_64__)
    if (name == "avx2")
      sets.push_back({&kDropoutAvx2, &kAttentionAvx2, &kAttentionTrainingAvx2, &kCrossEntropyAvx2,
                      &kCrossEntropyTrainingAvx2, &kLayerNormAvx2, &kLayerNormTrainingAvx2});
    if (name == "avx512")
      sets.push_back({&kDropoutAvx512, &kAttentionAvx512, &kAttentionTrainingAvx512, &kCrossEntropyAvx512,
                      &kCrossEntropyTrainingAvx512, &kLayerNormAvx512, &kLayerNormTrainingAvx512});
#endif
  }
  return sets;
}

void PrintTo(const Sets& sets, std::ostream* out) { *out << sets.dropout->name; }

class TrainingKernels : public ::testing::TestWithParam<Sets> {};

TEST_P(TrainingKernels, DropoutFollowsTheDraws) {
  const DropoutKernels& kernel = *GetParam().dropout;
  const base::RandomStream stream(7, base::hash_name("layer.dropout"), 12, 3);
  const DropoutDraws draws = dropout_draws(stream, 0.3);
  for (const uint64_t first : {uint64_t{0}, uint64_t{1}, uint64_t{6}, (uint64_t{1} << 34) - 8}) {
    for (const int64_t count : {1, 5, 63, 64, 129, 1000}) {
      const size_t size = static_cast<size_t>(count);
      const std::vector<float> x = random_floats(size, 1), residual = random_floats(size, 2);
      const std::vector<uint16_t> x_half = to_bf16(x);
      std::vector<float> factors(size), sums(size), wide(size), rectified(size);
      std::vector<uint16_t> halves(size), narrow(size);
      kernel.multipliers(draws, first, count, factors.data());
      kernel.f32(draws, first, count, x.data(), residual.data(), sums.data());
      kernel.bf16(draws, first, count, x_half.data(), halves.data());
      kernel.bf16_to_f32(draws, first, count, x_half.data(), nullptr, wide.data());
      kernel.f32_to_bf16(draws, first, count, x.data(), narrow.data());
      kernel.relu_f32(draws, first, count, x.data(), rectified.data());
      for (size_t i = 0; i < size; ++i) {
        const float factor =
            stream.bits(first + i) < base::bernoulli_threshold(0.3) ? 0.0f : static_cast<float>(1 / 0.7);
        ASSERT_EQ(factors[i], factor) << "draw " << first + i;
        // A fused multiply-add rounds once.
        ASSERT_NEAR(sums[i], residual[i] + x[i] * factor, 1e-6);
        ASSERT_EQ(from_bf16(halves[i]), from_bf16(to_bf16(from_bf16(x_half[i]) * factor)));
        ASSERT_EQ(wide[i], from_bf16(x_half[i]) * factor);
        ASSERT_EQ(from_bf16(narrow[i]), from_bf16(to_bf16(x[i] * factor)));
        ASSERT_EQ(rectified[i], std::max(x[i], 0.0f) * factor);
      }
    }
  }
}

TEST_P(TrainingKernels, DropoutRowsFollowTheDraws) {
  const DropoutKernels& kernel = *GetParam().dropout;
  const base::RandomStream stream(7, base::hash_name("layer.attention"), 12, 3);
  const DropoutDraws draws = dropout_draws(stream, 0.5);
  for (const uint64_t stride : {64, 255, 256}) {
    std::vector<float> factors(5 * 64);
    kernel.multiplier_rows(draws, 40, stride, 5, factors.data());
    for (uint64_t i = 0; i < factors.size(); ++i) {
      const bool dropped = stream.bits(40 + i / 64 * stride + i % 64) < base::bernoulli_threshold(0.5);
      ASSERT_EQ(factors[i], dropped ? 0.0f : 2.0f);
    }
  }
}

TEST_P(TrainingKernels, TransposesAnyShape) {
  const AttentionKernels& kernel = *GetParam().attention;
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {3, 20}, {64, 64}, {50, 33}}) {
    std::vector<uint32_t> in(static_cast<size_t>(rows * (cols + 2))), out(static_cast<size_t>(cols * 64), 9);
    for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint32_t>(i);
    kernel.transpose(in.data(), cols + 2, rows, cols, out.data(), 64);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) ASSERT_EQ(out[c * 64 + r], in[r * (cols + 2) + c]);
    }
  }
}

TEST_P(TrainingKernels, SoftmaxRow) {
  const AttentionKernels& kernel = *GetParam().attention;
  for (const int64_t num_keys : {1, 17, 64, 65, 128}) {
    const std::vector<float> scores = random_floats(256, 3, 20);
    std::vector<float> values = scores;
    SoftmaxRow row;
    row.scores = values.data();
    row.block_stride = 128;  // the second block lies further on
    row.num_blocks = 2;
    row.num_keys = num_keys;
    row.scale = 0.5f;
    float inverse = 0;
    const float log_sum_exp = kernel.softmax_row(row, &inverse);
    const auto at = [](int64_t key) { return static_cast<size_t>(key / 64 * 128 + key % 64); };
    double sum = 0;
    for (int64_t i = 0; i < num_keys; ++i) sum += std::exp(0.5 * scores[at(i)]);
    EXPECT_NEAR(log_sum_exp, std::log(sum), 1e-5);
    for (int64_t i = 0; i < 128; ++i) {
      const double expected = i < num_keys ? std::exp(0.5 * scores[at(i)]) / sum : 0;
      EXPECT_NEAR(values[at(i)] * inverse, expected, 4e-6 * expected + 1e-30)
          << "key " << i << " of " << num_keys;
    }
  }
}

TEST_P(TrainingKernels, SoftmaxRowThatSeesNoKey) {
  std::vector<float> values(64, 1.0f);
  SoftmaxRow row;
  row.scores = values.data();
  row.num_blocks = 1;
  float inverse = 1;
  EXPECT_EQ(GetParam().attention->softmax_row(row, &inverse), -std::numeric_limits<float>::infinity());
  EXPECT_EQ(inverse, 0);
  for (const float value : values) EXPECT_EQ(value, 0);
}

TEST_P(TrainingKernels, SmallProducts) {
  const AttentionKernels& kernel = *GetParam().attention;
  for (const auto& [m, k] : {std::pair<int64_t, int64_t>{1, 1}, {4, 7}, {11, 64}}) {
    const int64_t n = 48;
    const std::vector<float> a = random_floats(static_cast<size_t>(m * k), 4),
                             b = random_floats(static_cast<size_t>(k * n), 5);
    std::vector<float> c(static_cast<size_t>(m * n), 1.0f);
    kernel.gemm(m, n, k, a.data(), k, b.data(), n, c.data(), n, true);
    for (int64_t i = 0; i < m * n; ++i) {
      double expected = 1;
      for (int64_t j = 0; j < k; ++j) expected += double{a[i / n * k + j]} * b[j * n + i % n];
      ASSERT_NEAR(c[i], expected, 1e-4);
    }
  }
}

TEST_P(TrainingKernels, PairsOfRows) {
  const AttentionTrainingKernels& training = *GetParam().attention_training;
  const std::vector<float> row0 = random_floats(37, 6), row1 = random_floats(37, 7);
  std::vector<uint16_t> pairs(74), again(74);
  training.pair_rows(row0.data(), row1.data(), 37, pairs.data());
  training.pair_rows_bf16(to_bf16(row0).data(), to_bf16(row1).data(), 37, again.data());
  for (size_t i = 0; i < 37; ++i) {
    EXPECT_EQ(pairs[2 * i], to_bf16(row0[i]));
    EXPECT_EQ(pairs[2 * i + 1], to_bf16(row1[i]));
  }
  EXPECT_EQ(pairs, again);
}

TEST_P(TrainingKernels, CrossEntropyRows) {
  const CrossEntropyKernels& kernel = *GetParam().cross_entropy;
  for (const size_t count : {1u, 15u, 129u, 1003u}) {
    const std::vector<float> logits = random_floats(count, 8, 10);
    const int64_t target = static_cast<int64_t>(count / 2);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(double{logit});
    std::vector<float> gradient = logits, untouched = logits;
    EXPECT_NEAR(kernel.row_f32(gradient.data(), static_cast<int64_t>(count), target, true),
                std::log(sum) - logits[count / 2], 1e-5);
    EXPECT_NEAR(kernel.row_f32(untouched.data(), static_cast<int64_t>(count), target, false),
                std::log(sum) - logits[count / 2], 1e-5);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_NEAR(gradient[i], std::exp(logits[i]) / sum - (i == count / 2), 1e-6);
    }
    std::vector<uint16_t> half = to_bf16(logits);
    std::vector<float> scratch(count);
    EXPECT_NEAR(GetParam().cross_entropy_training->row_bf16(half.data(), static_cast<int64_t>(count), target,
                                                            true, scratch.data()),
                std::log(sum) - logits[count / 2], 0.1);
  }
}

TEST_P(TrainingKernels, CrossEntropyShowsNotANumber) {
  std::vector<float> logits(100, 1.0f);
  logits[33] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(GetParam().cross_entropy->row_f32(logits.data(), 100, 2, false)));
}

TEST_P(TrainingKernels, LayerNormRowsAndGradients) {
  const LayerNormKernels& kernel = *GetParam().layer_norm;
  const LayerNormTrainingKernels& backward = *GetParam().layer_norm_training;
  const int64_t rows = 3, cols = 37;
  const size_t count = static_cast<size_t>(rows * cols);
  const std::vector<float> x = random_floats(count, 1), gamma = random_floats(cols, 2),
                           beta = random_floats(cols, 3), gradient = random_floats(count, 4);
  std::vector<float> out(count), mean(rows), inverse_std(rows), x_gradient(count), gamma_sum(cols),
      beta_sum(cols);
  LayerNormRows range{x.data(), gamma.data(), beta.data(), rows,
                      cols,     1e-5f,        mean.data(), inverse_std.data()};
  kernel.forward_f32(range, out.data());
  LayerNormGradients to{nullptr, x_gradient.data(), gamma_sum.data(), beta_sum.data()};
  backward.backward_f32(range, gradient.data(), to);
  const auto normalized = [&](const std::vector<float>& values, int64_t r, int64_t c) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < cols; ++i) sum += values[r * cols + i];
    for (int64_t i = 0; i < cols; ++i) squares += std::pow(values[r * cols + i] - sum / cols, 2);
    return (values[r * cols + c] - sum / cols) / std::sqrt(squares / cols + 1e-5);
  };
  for (int64_t i = 0; i < rows * cols; ++i) {
    EXPECT_NEAR(out[i], normalized(x, i / cols, i % cols) * gamma[i % cols] + beta[i % cols], 1e-5);
  }
  for (const int64_t i : {int64_t{0}, int64_t{40}, rows * cols - 1}) {
    const auto loss = [&](float step) {
      std::vector<float> moved = x;
      moved[i] += step;
      double sum = 0;
      for (int64_t c = 0; c < cols; ++c)
        sum += normalized(moved, i / cols, c) * gamma[c] * gradient[i / cols * cols + c];
      return sum;
    };
    EXPECT_NEAR(x_gradient[i], (loss(0.01f) - loss(-0.01f)) / 0.02, 1e-3);
  }
  for (int64_t c = 0; c < cols; ++c) {
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) sum += normalized(x, r, c) * gradient[r * cols + c];
    EXPECT_NEAR(gamma_sum[c], sum, 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, TrainingKernels, ::testing::ValuesIn(runnable_sets()),
                         [](const auto& info) { return std::string(info.param.dropout->name); });

}  // namespace
}  // namespace quantnoise::kernels
