#pragma once
// The walk of the noise pass, shared by the vector sets: 64 draws at a time, then block by block. The file
// that includes this defines before, in its anonymous namespace of quantnoise::kernels:
//   uint64_t noised_bits(const NoiseArgs&, uint64_t first)    bit i: draw first + i is below the threshold;
//   first % 64 == 0 void put_scaled(const float*, int count, float scale, Out*)  out = scale · block, Out =
//   float or uint16_t (bf16) void put_constant(float, int count, Out*)

#include "core/kernels/kernel_functions.h"

namespace quantnoise::kernels {
namespace {

template <typename Out>
inline void put_noised(const NoiseArgs& args, uint64_t number, const float* block, Out* out) {
  if (args.kind == NoiseKind::kExact) {
    return put_scaled(args.centroids + int64_t{args.codes[number]} * args.block_size, args.block_size, 1.0f,
                      out);
  }
  float mean = 0;
  if (args.kind == NoiseKind::kMean) {
    // In the order of the elements: the same sum in every set.
    for (int j = 0; j < args.block_size; ++j) mean += block[j];
    mean /= static_cast<float>(args.block_size);
  }
  put_constant(mean, args.block_size, out);
}

template <typename Out>
inline void noise_blocks(const NoiseArgs& args, const float* weight, uint64_t first_block, int64_t num_blocks,
                         Out* out) {
  const float scale = args.kind == NoiseKind::kDrop ? args.survivor_scale : 1.0f;
  int64_t done = 0;
  while (done < num_blocks) {
    const uint64_t number = first_block + static_cast<uint64_t>(done);
    const int offset = static_cast<int>(number % 64);
    const int64_t left = num_blocks - done;
    const int count = left < 64 - offset ? static_cast<int>(left) : 64 - offset;
    const uint64_t noised = args.kind == NoiseKind::kNone ? 0 : noised_bits(args, number - offset) >> offset;
    for (int i = 0; i < count; ++i, ++done) {
      const float* block = weight + done * args.block_size;
      Out* to = out + done * args.block_size;
      if ((noised >> i) & 1) {
        put_noised(args, number + static_cast<uint64_t>(i), block, to);
      } else {
        put_scaled(block, args.block_size, scale, to);
      }
    }
  }
}

inline void noise_f32(const NoiseArgs& args, const float* weight, uint64_t first_block, int64_t num_blocks,
                      float* out) noexcept {
  noise_blocks(args, weight, first_block, num_blocks, out);
}

inline void noise_bf16(const NoiseArgs& args, const float* weight, uint64_t first_block, int64_t num_blocks,
                       uint16_t* out) noexcept {
  noise_blocks(args, weight, first_block, num_blocks, out);
}

}  // namespace
}  // namespace quantnoise::kernels
