#pragma once
// Random codebooks, codes and inputs, and the look-up tables of one set made from them.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>
#include <vector>

#include "quantnoise/base/random.h"
#include "quantnoise/kernels/instruction_set.h"
#include "quantnoise/kernels/lookup.h"

namespace quantnoise::kernels {

inline const LookupKernels& lookup_set(std::string_view name) {
#if defined(__x86_64__)
  for (const LookupKernels* set : {&kLookupAvx2, &kLookupAvx512, &kLookupAvx512Vnni}) {
    if (name == set->name) return *set;
  }
#elif defined(__aarch64__)
  if (name == kLookupNeon.name) return kLookupNeon;
#endif
  return kLookupPortable;
}

inline std::vector<float> gaussian_values(int64_t count, uint64_t seed) {
  base::SequentialRandom random(seed, "gauss");
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    const double radius = std::sqrt(-2 * std::log1p(-static_cast<double>(random.uniform())));
    value = static_cast<float>(radius * std::cos(6.283185307179586 * random.uniform()));
  }
  return values;
}

/// Gaussian values of which a few are 40 times as large and half are zero.
inline std::vector<float> rough_values(int64_t count, uint64_t seed) {
  std::vector<float> values = gaussian_values(count, seed);
  base::SequentialRandom random(seed, "rough");
  for (float& value : values) {
    if (value < 0) value = 0;
    if (random.below(100) == 0) value *= 40;
  }
  return values;
}

/// Weights and an input; the codes lie at odd addresses with a gap between blocks.
struct LookupProblem {
  LookupProblem(int num_centroids, int block_size, int64_t num_blocks, int num_steps, std::vector<float> x)
      : num_centroids(num_centroids),
        block_size(block_size),
        num_blocks(num_blocks),
        num_entries(num_centroids <= 16 ? 16 : 256),
        num_steps(num_steps),
        block_stride(kStepRows * (num_entries == 16 ? 4 : 8) / 8 + 3),
        centroids(gaussian_values(int64_t{num_centroids} * block_size, 1)),
        codes(static_cast<size_t>(num_steps * kStepRows * num_blocks)),
        input(std::move(x)),
        bytes(static_cast<size_t>(num_steps * num_blocks * block_stride + 1)) {
    base::SequentialRandom random(2);
    for (int& code : codes) code = static_cast<int>(random.below(static_cast<uint64_t>(num_centroids)));
    for (int s = 0; s < num_steps; ++s) {
      steps.push_back(bytes.data() + 1 + s * num_blocks * block_stride);
      for (int64_t b = 0; b < num_blocks; ++b) {
        uint8_t* to = bytes.data() + 1 + (s * num_blocks + b) * block_stride;
        for (int r = 0; r < kStepRows; ++r) {
          if (num_entries == 16) {
            to[r / 2] = static_cast<uint8_t>(to[r / 2] | code(s, b, r) << (r % 2 * 4));
          } else {
            to[r] = static_cast<uint8_t>(code(s, b, r));
          }
        }
      }
    }
  }

  int& code(int step, int64_t block, int row) {
    return codes[static_cast<size_t>((step * num_blocks + block) * kStepRows + row)];
  }
  LookupRows rows() const { return {steps.data(), num_steps, block_stride}; }

  /// Products of all rows in double precision.
  std::vector<double> exact() {
    std::vector<double> y(static_cast<size_t>(num_steps * kStepRows));
    for (int s = 0; s < num_steps; ++s) {
      for (int64_t b = 0; b < num_blocks; ++b) {
        for (int r = 0; r < kStepRows; ++r) {
          const float* centroid = centroids.data() + code(s, b, r) * block_size;
          for (int j = 0; j < block_size; ++j) {
            y[static_cast<size_t>(s * kStepRows + r)] +=
                double{centroid[j]} * input[static_cast<size_t>(b * block_size + j)];
          }
        }
      }
    }
    return y;
  }

  int num_centroids, block_size;
  int64_t num_blocks;
  int num_entries, num_steps;
  int64_t block_stride;
  std::vector<float> centroids;
  std::vector<int> codes;
  std::vector<float> input;
  std::vector<uint8_t> bytes;
  std::vector<const uint8_t*> steps;
};

/// Everything between an input and its tables, by one set.
struct LookupRun {
  LookupRun(const LookupKernels& set, const LookupProblem& p, EntryWidth width) : set(set) {
    const int num_pairs = (p.block_size + 1) / 2;
    shared_pairs.resize(static_cast<size_t>(p.num_entries * num_pairs));
    own_pairs.resize(shared_pairs.size());
    own_factors.resize(static_cast<size_t>(p.num_entries));
    codebook = {p.block_size,        num_pairs,        p.num_entries,     0,
                shared_pairs.data(), own_pairs.data(), own_factors.data()};
    fill_codebook(p.centroids.data(), p.num_centroids, set.lanes, codebook);

    const auto num_padded = static_cast<size_t>((p.num_blocks + 15) / 16 * 16);
    pairs.resize(num_padded * static_cast<size_t>(num_pairs));
    factors.resize(num_padded);
    norms.resize(num_padded);
    input = {p.num_blocks, p.block_size, num_pairs, pairs.data(), factors.data(), norms.data()};
    set.quantize_input(p.input.data(), input);

    order.resize(num_padded);
    chunks.resize(num_padded);
    entries.resize(static_cast<size_t>(p.num_blocks * table_bytes(p.num_entries, width)));
    tables = {width, p.num_entries, order.data(), 0, chunks.data(), 0, entries.data()};
    usable = plan_lookup(input, tables);
    for (int64_t c = 0; usable && c < tables.num_chunks; ++c)
      set.build_chunk(codebook, input, tables, chunks[static_cast<size_t>(c)], {p.bytes.data(), 500, 128});
  }

  /// An element more than needed shows writes beyond the end.
  std::vector<float> add(const LookupProblem& p, float offset) const {
    std::vector<float> y(static_cast<size_t>(p.num_steps * kStepRows + 2), 77.0f);
    set.add_rows(tables, p.rows(), offset, y.data() + 1);
    return y;
  }

  const LookupKernels& set;
  std::vector<int32_t> shared_pairs, own_pairs, pairs, order;
  std::vector<float> own_factors, factors, norms;
  std::vector<LookupChunk> chunks;
  std::vector<uint8_t> entries;
  LookupCodebook codebook;
  LookupInput input;
  LookupTables tables;
  bool usable = false;
};

/// Σ (y − exact)² / Σ exact²
inline double relative_squared_error(const float* y, const std::vector<double>& exact) {
  double error = 0, total = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    error += (double{y[i]} - exact[i]) * (double{y[i]} - exact[i]);
    total += exact[i] * exact[i];
  }
  return total > 0 ? error / total : error;
}

}  // namespace quantnoise::kernels
