#include "quantnoise/codec/noise.h"

#include <algorithm>

#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/kernels/kernel_table.h"

namespace quantnoise::codec {

namespace {

constexpr int64_t kGrainElements = int64_t{1} << 16;

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

void check(const BlockNoiseSpec& spec, int64_t cols) {
  QN_REQUIRE(spec.block_size > 0 && cols % spec.block_size == 0, ErrorKind::kConfig, "block size ",
             spec.block_size, " does not divide ", cols, " columns");
  QN_REQUIRE(spec.probability >= 0 && spec.probability <= 1, ErrorKind::kConfig, "noise probability: found ",
             spec.probability, ", expected 0 to 1");
}

kernels::NoiseArgs kernel_args(const BlockNoiseSpec& spec, BlockNoise kind) {
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

void run_kernel(const kernels::NoiseArgs& args, const float* in, uint64_t first, int64_t count, float* out) {
  kernels::kernel_table().noise_f32(args, in, first, count, out);
}
void run_kernel(const kernels::NoiseArgs& args, const float* in, uint64_t first, int64_t count,
                uint16_t* out) {
  kernels::kernel_table().noise_bf16(args, in, first, count, out);
}

template <typename Out>
class NoisePass {
 public:
  NoisePass(const BlockNoiseSpec& spec, const float* weight, int64_t rows, int64_t cols)
      : noisy_(kernel_args(spec, spec.kind)),
        plain_(kernel_args(spec, BlockNoise::kNone)),
        weight_(weight),
        cols_(cols),
        blocks_per_row_(0),
        zero_row_(spec.zero_row) {
    check(spec, cols);
    blocks_per_row_ = cols / spec.block_size;
    if (spec.kind == BlockNoise::kExact) check_codebook(spec, rows * blocks_per_row_);
  }

  /// Rows [begin, end) of the weight → out, their first row first.
  void rows(int64_t begin, int64_t end, Out* out) const {
    const int64_t plain_begin = std::clamp(zero_row_, begin, end);
    const int64_t plain_end = zero_row_ >= begin && zero_row_ < end ? zero_row_ + 1 : plain_begin;
    run(noisy_, begin, plain_begin, begin, out);
    run(plain_, plain_begin, plain_end, begin, out);
    run(noisy_, plain_end, end, begin, out);
  }

 private:
  void run(const kernels::NoiseArgs& args, int64_t begin, int64_t end, int64_t out_row, Out* out) const {
    if (begin >= end) return;
    run_kernel(args, weight_ + begin * cols_, static_cast<uint64_t>(begin * blocks_per_row_),
               (end - begin) * blocks_per_row_, out + (begin - out_row) * cols_);
  }

  kernels::NoiseArgs noisy_;
  kernels::NoiseArgs plain_;
  const float* weight_;
  int64_t cols_;
  int64_t blocks_per_row_;
  int64_t zero_row_;
};

template <typename Out>
void apply_to_all(const BlockNoiseSpec& spec, const float* weight, int64_t rows, int64_t cols, Out* out,
                  const base::ParallelFor& parallel_for) {
  const NoisePass<Out> pass(spec, weight, rows, cols);
  if (cols == 0) return;
  parallel_for(rows, base::ceil_div(kGrainElements, cols),
               [&](int64_t begin, int64_t end) { pass.rows(begin, end, out + begin * cols); });
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
  const NoisePass<float> pass(spec, weight, rows, cols);
  for (const int64_t row : row_indices) {
    QN_REQUIRE(row >= 0 && row < rows, ErrorKind::kData, "row index: found ", row, ", expected 0 to ",
               rows - 1);
  }
  if (cols == 0) return;
  parallel_for(static_cast<int64_t>(row_indices.size()), base::ceil_div(kGrainElements, cols),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t row = row_indices[static_cast<size_t>(i)];
                   pass.rows(row, row + 1, out + i * cols);
                 }
               });
}

}  // namespace quantnoise::codec
