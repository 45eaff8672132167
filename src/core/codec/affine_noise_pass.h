#pragma once
// One walk of scalar noise over a range of elements.

#include <algorithm>
#include <cstdint>
#include <span>

#include "core/codec/affine_parts.h"
#include "quantnoise/base/error.h"
#include "quantnoise/codec/affine_noise.h"
#include "quantnoise/codec/half.h"

namespace quantnoise::codec {

template <typename In, typename Out>
using AffineNoiseKernel = void (*)(const kernels::AffineStep&, const kernels::AffineDraws&, uint64_t,
                                   const In*, int64_t, Out*);

inline AffineNoiseKernel<float, float> affine_noise_kernel(const float*, const float*) {
  return kernels::affine_noise_kernels().noise_f32;
}
inline AffineNoiseKernel<float, uint16_t> affine_noise_kernel(const float*, const uint16_t*) {
  return kernels::affine_noise_kernels().noise_f32_to_bf16;
}
inline AffineNoiseKernel<uint16_t, uint16_t> affine_noise_kernel(const uint16_t*, const uint16_t*) {
  return kernels::affine_noise_kernels().noise_bf16;
}

inline void clip_values(AffineRange range, float* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float value = values[i];  // NaN stays NaN
    values[i] = value < range.min ? range.min : value > range.max ? range.max : value;
  }
}
inline void clip_values(AffineRange range, uint16_t* values, int64_t count) {
  // Rounding is monotonous: clipping what was rounded is rounding what was clipped.
  const AffineRange rounded{bf16_to_float(float_to_bf16(range.min)), bf16_to_float(float_to_bf16(range.max))};
  for (int64_t i = 0; i < count; ++i) {
    float value = bf16_to_float(values[i]);
    clip_values(rounded, &value, 1);
    values[i] = float_to_bf16(value);
  }
}

/// The spec and the grid must outlive the pass.
template <typename In, typename Out>
class AffineNoisePass {
 public:
  AffineNoisePass(const AffineNoiseSpec& spec, const AffineGrid& grid, std::span<const int64_t> shape)
      : layout_(checked_affine_layout(shape, grid)),
        rows_(shape.empty() ? 1 : shape[0]),
        cols_(rows_ == 0 ? 0 : layout_.numel / rows_),
        grid_(grid),
        clip_(spec.clip),
        kernel_(affine_noise_kernel(static_cast<const In*>(nullptr), static_cast<const Out*>(nullptr))) {
    QN_REQUIRE(spec.probability >= 0 && spec.probability <= 1, ErrorKind::kConfig,
               "noise probability: found ", spec.probability, ", expected 0 to 1");
    QN_REQUIRE(spec.zero_row >= -1 && spec.zero_row < rows_, ErrorKind::kConfig, "zero row: found ",
               spec.zero_row, ", expected less than ", rows_, " rows");
    draws_ = kernels::affine_draws(spec.stream, spec.probability);
    zero_begin_ = spec.zero_row < 0 ? 0 : spec.zero_row * cols_;
    zero_end_ = spec.zero_row < 0 ? 0 : zero_begin_ + cols_;
  }

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t numel() const { return layout_.numel; }

  /// Elements [begin, end) of the weight, which lie at `in`, → their noised values at `out`.
  void elements(int64_t begin, int64_t end, const In* in, Out* out) const {
    const int64_t plain_begin = std::clamp(zero_begin_, begin, end);
    const int64_t plain_end = std::clamp(zero_end_, plain_begin, end);
    run(draws_, begin, plain_begin, in, out);
    run(kernels::AffineDraws{}, plain_begin, plain_end, in + (plain_begin - begin),
        out + (plain_begin - begin));
    run(draws_, plain_end, end, in + (plain_end - begin), out + (plain_end - begin));
  }

 private:
  void run(const kernels::AffineDraws& draws, int64_t begin, int64_t end, const In* in, Out* out) const {
    for_each_run(layout_, begin, end, [&](int64_t channel, int64_t first, int64_t count) {
      Out* to = out + (first - begin);
      kernel_(step_of(grid_, channel), draws, static_cast<uint64_t>(first), in + (first - begin), count, to);
      if (clip_) clip_values(grid_.range(static_cast<size_t>(channel)), to, count);
    });
  }

  AffineLayout layout_;
  int64_t rows_;
  int64_t cols_;
  const AffineGrid& grid_;
  bool clip_;
  AffineNoiseKernel<In, Out> kernel_;
  kernels::AffineDraws draws_;
  int64_t zero_begin_ = 0;
  int64_t zero_end_ = 0;
};

}  // namespace quantnoise::codec
