#include "quantnoise/codec/combined_noise.h"

#include <vector>

#include "core/codec/affine_noise_pass.h"
#include "core/codec/noise_pass.h"
#include "quantnoise/base/checked.h"

namespace quantnoise::codec {

namespace {

// What lies between the two steps stays in the cache.
constexpr int64_t kGrainElements = int64_t{1} << 14;

template <typename Out>
class CombinedPass {
 public:
  CombinedPass(const CombinedNoiseSpec& spec, const AffineGrid& grid, std::span<const int64_t> shape)
      : drop_(spec.blocks.kind == BlockNoise::kDrop),
        elements_first_(spec.elements, grid, shape),
        elements_last_(spec.elements, grid, shape),
        blocks_first_(spec.blocks, elements_first_.rows(), elements_first_.cols()),
        blocks_last_(spec.blocks, elements_first_.rows(), elements_first_.cols()) {
    QN_REQUIRE(spec.blocks.zero_row == spec.elements.zero_row, ErrorKind::kConfig,
               "noise: found the zero rows ", spec.blocks.zero_row, " and ", spec.elements.zero_row,
               ", expected one");
  }

  int64_t num_rows() const { return elements_first_.rows(); }
  int64_t cols() const { return elements_first_.cols(); }

  /// Rows [begin, end) of the weight, which lie at `in`, → out.
  void rows(int64_t begin, int64_t end, const float* in, Out* out, std::vector<float>& between) const {
    between.resize(static_cast<size_t>((end - begin) * cols()));
    if (drop_) {
      elements_first_.elements(begin * cols(), end * cols(), in, between.data());
      blocks_last_.rows(begin, end, between.data(), out);
    } else {
      blocks_first_.rows(begin, end, in, between.data());
      elements_last_.elements(begin * cols(), end * cols(), between.data(), out);
    }
  }

 private:
  bool drop_;
  AffineNoisePass<float, float> elements_first_;
  AffineNoisePass<float, Out> elements_last_;
  BlockNoisePass<float> blocks_first_;
  BlockNoisePass<Out> blocks_last_;
};

template <typename Out>
void apply_to_all(const CombinedNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                  std::span<const int64_t> shape, Out* out, const base::ParallelFor& parallel_for) {
  const CombinedPass<Out> pass(spec, grid, shape);
  const int64_t cols = pass.cols();
  if (cols == 0) return;
  parallel_for(pass.num_rows(), base::ceil_div(kGrainElements, cols), [&](int64_t begin, int64_t end) {
    std::vector<float> between;
    pass.rows(begin, end, weight + begin * cols, out + begin * cols, between);
  });
}

}  // namespace

void apply_combined_noise(const CombinedNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                          std::span<const int64_t> shape, float* out, const base::ParallelFor& parallel_for) {
  apply_to_all(spec, grid, weight, shape, out, parallel_for);
}

void apply_combined_noise(const CombinedNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                          std::span<const int64_t> shape, uint16_t* out,
                          const base::ParallelFor& parallel_for) {
  apply_to_all(spec, grid, weight, shape, out, parallel_for);
}

void apply_combined_noise_rows(const CombinedNoiseSpec& spec, const AffineGrid& grid, const float* weight,
                               std::span<const int64_t> shape, std::span<const int64_t> row_indices,
                               float* out, const base::ParallelFor& parallel_for) {
  const CombinedPass<float> pass(spec, grid, shape);
  for (const int64_t row : row_indices) {
    QN_REQUIRE(row >= 0 && row < pass.num_rows(), ErrorKind::kData, "row index: found ", row,
               ", expected 0 to ", pass.num_rows() - 1);
  }
  const int64_t cols = pass.cols();
  if (cols == 0) return;
  parallel_for(static_cast<int64_t>(row_indices.size()), base::ceil_div(kGrainElements, cols),
               [&](int64_t begin, int64_t end) {
                 std::vector<float> between;
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t row = row_indices[static_cast<size_t>(i)];
                   pass.rows(row, row + 1, weight + row * cols, out + i * cols, between);
                 }
               });
}

}  // namespace quantnoise::codec
