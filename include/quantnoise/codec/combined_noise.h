#pragma once
// Block noise and scalar noise on one weight, in one walk over it:
//
//   kMean, kExact, kNone   chosen blocks become their mean or codeword, then single elements are quantized
//   kDrop                  single elements are quantized, then chosen blocks become 0 and the others are
//                          multiplied by survivor_scale (0 is a value of every grid, so that the order
//                          matters to the scale alone: what is quantized is the weight, not its multiple)
//
// The two draw independently when their streams differ.

#include <cstdint>
#include <span>

#include "quantnoise/codec/affine_noise.h"
#include "quantnoise/codec/noise.h"

namespace quantnoise::codec {

struct CombinedNoiseSpec {
  BlockNoiseSpec blocks;
  AffineNoiseSpec elements;
};

/// out = noised(weight). shape: of the weight, row-major; as a matrix (first, product of the rest). Both
/// specs must name the same zero row. Errors: kConfig.
void apply_combined_noise(const CombinedNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                          std::span<const int64_t> shape, float* out, const base::ParallelFor& parallel_for);
/// The same, cast to bf16 bits (round to nearest even) in the same walk.
void apply_combined_noise(const CombinedNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                          std::span<const int64_t> shape, uint16_t* out,
                          const base::ParallelFor& parallel_for);

/// Row i of out = row row_indices[i] of the noised weight; out: (row_indices.size(), cols).
/// Errors: kData for an index out of range.
void apply_combined_noise_rows(const CombinedNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                               std::span<const int64_t> shape, std::span<const int64_t> row_indices,
                               float* out, const base::ParallelFor& parallel_for);

}  // namespace quantnoise::codec
