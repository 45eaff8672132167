// Decoded panels and their products: decoding to the bit, products to the bit on integers and to a bound
// else.

#include "quantnoise/kernels/panel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>

#include "lookup_fixture.h"

namespace quantnoise::kernels {
namespace {

const PanelKernels& panel_set(std::string_view name) {
#if defined(__x86_64__)
  if (name == "avx512" || name == "avx512vnni") return kPanelAvx512;
  if (name == "avx2") return kPanelAvx2;
#endif
  return kPanelPortable;
}

std::vector<float> small_integers(int64_t count, uint64_t seed) {
  base::SequentialRandom random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(random.below(9)) - 4;
  return values;
}

/// Codes of one step at an odd address, and the codebook.
struct PanelProblem {
  PanelProblem(int code_bits, int block_size, int64_t num_blocks, bool integers)
      : num_blocks(num_blocks), stride(padded_block_size(block_size)) {
    const int num_centroids = code_bits == 16 ? 3000 : 1 << code_bits;
    const int64_t count = int64_t{num_centroids} * block_size;
    const std::vector<float> values = integers ? small_integers(count, 1) : gaussian_values(count, 1);
    centroids.resize(static_cast<size_t>(num_centroids * stride));
    for (int64_t i = 0; i < count; ++i)
      centroids[static_cast<size_t>(i / block_size * stride + i % block_size)] =
          values[static_cast<size_t>(i)];
    padded = {centroids.data(), stride, block_size};
    const int64_t block_bytes = kStepRows * code_bits / 8;
    bytes.resize(static_cast<size_t>(1 + num_blocks * block_bytes));
    step = {bytes.data() + 1, block_bytes, code_bits};
    base::SequentialRandom random(2);
    for (int64_t i = 0; i < num_blocks * kStepRows; ++i) {
      const auto code = static_cast<uint16_t>(random.below(static_cast<uint64_t>(num_centroids)));
      codes.push_back(code);
      uint8_t* block = bytes.data() + 1 + i / kStepRows * block_bytes;
      const int64_t row = i % kStepRows;
      if (code_bits == 16) std::memcpy(block + 2 * row, &code, 2);
      if (code_bits == 8) block[row] = static_cast<uint8_t>(code);
      if (code_bits == 4) block[row / 2] = static_cast<uint8_t>(block[row / 2] | code << (row % 2 * 4));
    }
  }

  /// Element (input, row) of the weight.
  float weight(int64_t input, int64_t row) const {
    const int64_t block = input / padded.block_size, j = input % padded.block_size;
    return centroids[static_cast<size_t>(codes[static_cast<size_t>(block * kStepRows + row)] * stride + j)];
  }
  int64_t depth() const { return num_blocks * padded.block_size; }

  int64_t num_blocks;
  int stride;
  std::vector<float> centroids;
  std::vector<uint8_t> bytes;
  std::vector<uint16_t> codes;
  PaddedCentroids padded;
  CodeStep step;
};

class PanelSets : public ::testing::TestWithParam<const InstructionSet*> {
 protected:
  const PanelKernels& set() const { return panel_set(GetParam()->name); }
};

TEST_P(PanelSets, DecodeTurnsCodesIntoColumns) {
  for (const int code_bits : {4, 8, 16}) {
    for (int block_size = 1; block_size <= 16; ++block_size) {
      const PanelProblem p(code_bits, block_size, 5, false);
      const auto size = static_cast<size_t>(p.depth() * kStepRows);
      std::vector<float> panel(size + 3 * kStepRows + 1, 77.0f);
      set().decode(p.step, p.num_blocks, p.padded, panel.data());
      for (size_t i = 0; i < size; ++i)
        ASSERT_EQ(panel[i],
                  p.weight(static_cast<int64_t>(i) / kStepRows, static_cast<int64_t>(i) % kStepRows));
      EXPECT_EQ(panel.back(), 77.0f);
    }
  }
}

TEST_P(PanelSets, MultiplyEqualsTheSumsOnIntegers) {
  for (const int64_t n : {1, 2, 3, 4, 5, 6, 7, 13}) {
    for (const int64_t depth : {1, 3, 64}) {
      const std::vector<float> x = small_integers(n * (depth + 5), 3);
      const std::vector<float> panel = small_integers(depth * kStepRows, 4);
      for (const bool accumulate : {false, true}) {
        std::vector<float> y(static_cast<size_t>(n * 70), 3.0f);
        set().multiply(x.data(), depth + 5, n, depth, panel.data(), y.data(), 70, accumulate);
        for (int64_t i = 0; i < n; ++i) {
          for (int64_t r = 0; r < 70; ++r) {
            float expected = accumulate || r >= kStepRows ? 3.0f : 0.0f;
            for (int64_t k = 0; k < depth && r < kStepRows; ++k) {
              expected +=
                  x[static_cast<size_t>(i * (depth + 5) + k)] * panel[static_cast<size_t>(k * kStepRows + r)];
            }
            ASSERT_EQ(y[static_cast<size_t>(i * 70 + r)], expected) << n << " " << depth << " " << r;
          }
        }
      }
    }
  }
}

TEST_P(PanelSets, VectorProductIsThatOfTheDecodedWeight) {
  for (const int code_bits : {4, 8, 16}) {
    for (int block_size = 1; block_size <= 16; ++block_size) {
      for (const bool integers : {false, true}) {
        const PanelProblem p(code_bits, block_size, 33, integers);
        const std::vector<float> values =
            integers ? small_integers(p.depth(), 5) : gaussian_values(p.depth(), 5);
        std::vector<float> x(static_cast<size_t>(p.num_blocks * p.stride)), y(kStepRows);
        for (int64_t i = 0; i < p.depth(); ++i)
          x[static_cast<size_t>(i / block_size * p.stride + i % block_size)] = values[static_cast<size_t>(i)];
        set().multiply_vector(p.step, p.num_blocks, p.padded, x.data(), y.data());
        for (int64_t r = 0; r < kStepRows; ++r) {
          double expected = 0, magnitude = 0;
          for (int64_t i = 0; i < p.depth(); ++i) {
            const double product = double{p.weight(i, r)} * values[static_cast<size_t>(i)];
            expected += product;
            magnitude += std::abs(product);
          }
          ASSERT_NEAR(y[static_cast<size_t>(r)], expected, integers ? 0 : 1e-6 * magnitude);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PanelSets, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace quantnoise::kernels
