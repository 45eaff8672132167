#include <bit>

#include "core/kernels/kernel_functions.h"
#include "quantnoise/base/random.h"

namespace quantnoise::kernels::portable {

namespace {

void put(float value, float* out) { *out = value; }

void put(float value, uint16_t* out) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  *out = static_cast<uint16_t>(is_nan ? (bits >> 16) | 0x40u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

template <typename Out>
void noised_block(const NoiseArgs& args, uint64_t number, const float* block, Out* out) {
  float mean = 0;
  if (args.kind == NoiseKind::kMean) {
    for (int j = 0; j < args.block_size; ++j) mean += block[j];
    mean /= static_cast<float>(args.block_size);
  }
  const float* centroid = args.kind == NoiseKind::kExact
                              ? args.centroids + int64_t{args.codes[number]} * args.block_size
                              : nullptr;
  for (int j = 0; j < args.block_size; ++j) put(centroid == nullptr ? mean : centroid[j], out + j);
}

template <typename Out>
void noise(const NoiseArgs& args, const float* weight, uint64_t first_block, int64_t num_blocks, Out* out) {
  base::RandomStream stream;
  stream.key = {args.key[0], args.key[1]};
  stream.update = args.update;
  stream.micro_batch = args.micro_batch;
  for (int64_t i = 0; i < num_blocks; ++i) {
    const uint64_t number = first_block + static_cast<uint64_t>(i);
    const float* block = weight + i * args.block_size;
    Out* to = out + i * args.block_size;
    if (args.kind != NoiseKind::kNone && stream.bits(number) < args.threshold) {
      noised_block(args, number, block, to);
      continue;
    }
    const bool scaled = args.kind == NoiseKind::kDrop;
    for (int j = 0; j < args.block_size; ++j) put(scaled ? block[j] * args.survivor_scale : block[j], to + j);
  }
}

}  // namespace

void noise_f32(const NoiseArgs& args, const float* weight, uint64_t first_block, int64_t num_blocks,
               float* out) noexcept {
  noise(args, weight, first_block, num_blocks, out);
}

void noise_bf16(const NoiseArgs& args, const float* weight, uint64_t first_block, int64_t num_blocks,
                uint16_t* out) noexcept {
  noise(args, weight, first_block, num_blocks, out);
}

}  // namespace quantnoise::kernels::portable
