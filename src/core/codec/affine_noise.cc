#include "quantnoise/codec/affine_noise.h"

#include <algorithm>

#include "core/codec/affine_parts.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"

namespace quantnoise::codec {

namespace {

template <typename In, typename Out>
using NoiseKernel = void (*)(const kernels::AffineStep&, const kernels::AffineDraws&, uint64_t, const In*,
                             int64_t, Out*);

NoiseKernel<float, float> noise_kernel(const float*, const float*) {
  return kernels::affine_kernels().noise_f32;
}
NoiseKernel<float, uint16_t> noise_kernel(const float*, const uint16_t*) {
  return kernels::affine_kernels().noise_f32_to_bf16;
}
NoiseKernel<uint16_t, uint16_t> noise_kernel(const uint16_t*, const uint16_t*) {
  return kernels::affine_kernels().noise_bf16;
}

template <typename In, typename Out>
class AffineNoisePass {
 public:
  AffineNoisePass(const AffineNoiseSpec& spec, const AffineGrid& grid, const In* weight,
                  std::span<const int64_t> shape)
      : layout_(checked_affine_layout(shape, grid)),
        rows_(shape.empty() ? 1 : shape[0]),
        cols_(rows_ == 0 ? 0 : layout_.numel / rows_),
        grid_(grid),
        weight_(weight),
        kernel_(noise_kernel(weight, static_cast<const Out*>(nullptr))) {
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

  /// Elements [begin, end) of the noised weight → out.
  void elements(int64_t begin, int64_t end, Out* out) const {
    const int64_t plain_begin = std::clamp(zero_begin_, begin, end);
    const int64_t plain_end = std::clamp(zero_end_, plain_begin, end);
    run(draws_, begin, plain_begin, out);
    run(kernels::AffineDraws{}, plain_begin, plain_end, out + (plain_begin - begin));
    run(draws_, plain_end, end, out + (plain_end - begin));
  }

 private:
  void run(const kernels::AffineDraws& draws, int64_t begin, int64_t end, Out* out) const {
    for_each_run(layout_, begin, end, [&](int64_t channel, int64_t first, int64_t count) {
      kernel_(step_of(grid_, channel), draws, static_cast<uint64_t>(first), weight_ + first, count,
              out + (first - begin));
    });
  }

  AffineLayout layout_;
  int64_t rows_;
  int64_t cols_;
  const AffineGrid& grid_;
  const In* weight_;
  NoiseKernel<In, Out> kernel_;
  kernels::AffineDraws draws_;
  int64_t zero_begin_ = 0;
  int64_t zero_end_ = 0;
};

template <typename In, typename Out>
void apply_to_all(const AffineNoiseSpec& spec, const AffineGrid& grid, const In* weight,
                  std::span<const int64_t> shape, Out* out, const base::ParallelFor& parallel_for) {
  const AffineNoisePass<In, Out> pass(spec, grid, weight, shape);
  parallel_for(pass.numel(), kAffineGrain,
               [&](int64_t begin, int64_t end) { pass.elements(begin, end, out + begin); });
}

template <typename Out>
void apply_to_rows(const AffineNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                   std::span<const int64_t> shape, std::span<const int64_t> row_indices, Out* out,
                   const base::ParallelFor& parallel_for) {
  const AffineNoisePass<float, Out> pass(spec, grid, weight, shape);
  for (const int64_t row : row_indices) {
    QN_REQUIRE(row >= 0 && row < pass.rows(), ErrorKind::kData, "row index: found ", row, ", expected 0 to ",
               pass.rows() - 1);
  }
  const int64_t cols = pass.cols();
  if (cols == 0) return;
  parallel_for(static_cast<int64_t>(row_indices.size()), base::ceil_div(kAffineGrain, cols),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t row = row_indices[static_cast<size_t>(i)];
                   pass.elements(row * cols, (row + 1) * cols, out + i * cols);
                 }
               });
}

}  // namespace

void apply_affine_noise(const AffineNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                        std::span<const int64_t> shape, float* out, const base::ParallelFor& parallel_for) {
  apply_to_all(spec, grid, weight, shape, out, parallel_for);
}

void apply_affine_noise(const AffineNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                        std::span<const int64_t> shape, uint16_t* out,
                        const base::ParallelFor& parallel_for) {
  apply_to_all(spec, grid, weight, shape, out, parallel_for);
}

void apply_affine_noise(const AffineNoiseSpec& spec, const AffineGrid& grid, const uint16_t* weight,
                        std::span<const int64_t> shape, uint16_t* out,
                        const base::ParallelFor& parallel_for) {
  apply_to_all(spec, grid, weight, shape, out, parallel_for);
}

void apply_affine_noise_rows(const AffineNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                             std::span<const int64_t> shape, std::span<const int64_t> row_indices, float* out,
                             const base::ParallelFor& parallel_for) {
  apply_to_rows(spec, grid, weight, shape, row_indices, out, parallel_for);
}

void apply_affine_noise_rows(const AffineNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                             std::span<const int64_t> shape, std::span<const int64_t> row_indices,
                             uint16_t* out, const base::ParallelFor& parallel_for) {
  apply_to_rows(spec, grid, weight, shape, row_indices, out, parallel_for);
}

}  // namespace quantnoise::codec
