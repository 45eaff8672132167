#include "quantnoise/codec/affine_noise.h"

#include "core/codec/affine_noise_pass.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"

namespace quantnoise::codec {

namespace {

template <typename In, typename Out>
void apply_to_all(const AffineNoiseSpec& spec, const AffineGrid& grid, const In* weight,
                  std::span<const int64_t> shape, Out* out, const base::ParallelFor& parallel_for) {
  const AffineNoisePass<In, Out> pass(spec, grid, shape);
  parallel_for(pass.numel(), kAffineGrain,
               [&](int64_t begin, int64_t end) { pass.elements(begin, end, weight + begin, out + begin); });
}

template <typename Out>
void apply_to_rows(const AffineNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                   std::span<const int64_t> shape, std::span<const int64_t> row_indices, Out* out,
                   const base::ParallelFor& parallel_for) {
  const AffineNoisePass<float, Out> pass(spec, grid, shape);
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
                   pass.elements(row * cols, (row + 1) * cols, weight + row * cols, out + i * cols);
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
