#include "quantnoise/codec/noise.h"

#include "core/codec/noise_pass.h"
#include "quantnoise/base/checked.h"

namespace quantnoise::codec {

namespace {

kernels::NoiseKind kernel_kind(BlockNoise kind) {
  switch (kind) {
    case BlockNoise::kNone:
      return kernels::NoiseKind::kNone;
    case BlockNoise::kDrop:
      return kernels::NoiseKind::kDrop;
    case BlockNoise::kMean:
      return kernels::NoiseKind::kMean;
    case BlockNoise::kExact:
      return kernels::NoiseKind::kExact;
  }
  return kernels::NoiseKind::kNone;
}

void check_codebook(const BlockNoiseSpec& spec, int64_t num_blocks) {
  QN_REQUIRE(static_cast<int64_t>(spec.codes.size()) == num_blocks, ErrorKind::kConfig, "exact noise: found ",
             spec.codes.size(), " codes, expected ", num_blocks);
  QN_REQUIRE(!spec.centroids.empty() && spec.centroids.size() % static_cast<size_t>(spec.block_size) == 0,
             ErrorKind::kConfig, "exact noise: ", spec.centroids.size(),
             " centroid elements are no multiple of the block size ", spec.block_size);
}

}  // namespace

void check_block_noise(const BlockNoiseSpec& spec, int64_t rows, int64_t cols) {
  QN_REQUIRE(spec.block_size > 0 && cols % spec.block_size == 0, ErrorKind::kConfig, "block size ",
             spec.block_size, " does not divide ", cols, " columns");
  QN_REQUIRE(spec.probability >= 0 && spec.probability <= 1, ErrorKind::kConfig, "noise probability: found ",
             spec.probability, ", expected 0 to 1");
  if (spec.kind == BlockNoise::kExact) check_codebook(spec, rows * (cols / spec.block_size));
}

kernels::NoiseArgs block_noise_args(const BlockNoiseSpec& spec, BlockNoise kind) {
  kernels::NoiseArgs args;
  args.kind = kernel_kind(kind);
  args.block_size = spec.block_size;
  args.survivor_scale = spec.survivor_scale;
  args.key[0] = spec.stream.key[0];
  args.key[1] = spec.stream.key[1];
  args.update = spec.stream.update;
  args.micro_batch = spec.stream.micro_batch;
  args.threshold = base::bernoulli_threshold(spec.probability);
  args.centroids = spec.centroids.data();
  args.codes = spec.codes.data();
  return args;
}

namespace {

constexpr int64_t kGrainElements = int64_t{1} << 16;

template <typename Out>
void apply_to_all(const BlockNoiseSpec& spec, const float* weight, int64_t rows, int64_t cols, Out* out,
                  const base::ParallelFor& parallel_for) {
  const BlockNoisePass<Out> pass(spec, rows, cols);
  if (cols == 0) return;
  parallel_for(rows, base::ceil_div(kGrainElements, cols), [&](int64_t begin, int64_t end) {
    pass.rows(begin, end, weight + begin * cols, out + begin * cols);
  });
}

}  // namespace

void apply_block_noise(const BlockNoiseSpec& spec, const float* weight, int64_t rows, int64_t cols,
                       float* out, const base::ParallelFor& parallel_for) {
  apply_to_all(spec, weight, rows, cols, out, parallel_for);
}

void apply_block_noise(const BlockNoiseSpec& spec, const float* weight, int64_t rows, int64_t cols,
                       uint16_t* out, const base::ParallelFor& parallel_for) {
  apply_to_all(spec, weight, rows, cols, out, parallel_for);
}

void apply_block_noise_rows(const BlockNoiseSpec& spec, const float* weight, int64_t rows, int64_t cols,
                            std::span<const int64_t> row_indices, float* out,
                            const base::ParallelFor& parallel_for) {
  const BlockNoisePass<float> pass(spec, rows, cols);
  for (const int64_t row : row_indices) {
    QN_REQUIRE(row >= 0 && row < rows, ErrorKind::kData, "row index: found ", row, ", expected 0 to ",
               rows - 1);
  }
  if (cols == 0) return;
  parallel_for(static_cast<int64_t>(row_indices.size()), base::ceil_div(kGrainElements, cols),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t row = row_indices[static_cast<size_t>(i)];
                   pass.rows(row, row + 1, weight + row * cols, out + i * cols);
                 }
               });
}

}  // namespace quantnoise::codec
