#pragma once
// Scalar quantization noise: one fused walk over a weight that copies, casts and quantizes single elements.
//
//   out = drawn(i) ? value(w) : w        i = row · cols + column
//
// The stored weight is only read; what is not drawn is never clipped, unless the spec asks for it. Which
// elements are drawn is a pure function of the random stream and i, so selected rows get the very noise the
// whole weight would.

#include <cstdint>
#include <span>

#include "quantnoise/base/parallel.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/kernels/affine.h"

namespace quantnoise::codec {

struct AffineNoiseSpec {
  /// Of an element to be quantized, to a multiple of 2^-16; 0 (a copy) and 1 (all of them) are exact.
  double probability = 0;
  base::RandomStream stream;
  int64_t zero_row = -1;  ///< a row that stays as it is stored (padding); −1: none
  /// Elements that are not drawn are clipped to the grid's range (fairseq's rule); else they are copies.
  bool clip = false;
};

/// out = noised(weight). shape: of the weight, row-major; the grid must fit it. weight and out may be the
/// same memory. Errors: kConfig.
void apply_affine_noise(const AffineNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                        std::span<const int64_t> shape, float* out, const base::ParallelFor& parallel_for);
/// The same, cast to bf16 bits (round to nearest even) in the same pass.
void apply_affine_noise(const AffineNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                        std::span<const int64_t> shape, uint16_t* out, const base::ParallelFor& parallel_for);
/// bf16 to bf16: activations.
void apply_affine_noise(const AffineNoiseSpec& spec, const AffineGrid& grid, const uint16_t* weight,
                        std::span<const int64_t> shape, uint16_t* out, const base::ParallelFor& parallel_for);

/// Row i of out = row row_indices[i] of the noised weight; out: (row_indices.size(), cols), where a row is
/// one index of the first dimension. Errors: kData for an index out of range.
void apply_affine_noise_rows(const AffineNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                             std::span<const int64_t> shape, std::span<const int64_t> row_indices, float* out,
                             const base::ParallelFor& parallel_for);
void apply_affine_noise_rows(const AffineNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                             std::span<const int64_t> shape, std::span<const int64_t> row_indices,
                             uint16_t* out, const base::ParallelFor& parallel_for);

/// Whether element i is drawn: the definition the kernels are tested against.
inline bool is_drawn(const AffineNoiseSpec& spec, uint64_t element) {
  const uint32_t draw = spec.stream.bits(element / 2) >> (16 * (element % 2)) & 0xffffu;
  return draw < kernels::affine_draws(spec.stream, spec.probability).threshold;
}

}  // namespace quantnoise::codec
