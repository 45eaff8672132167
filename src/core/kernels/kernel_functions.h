#pragma once
// What the vector sets fall back on, and what their tables take from another file. No standard-library
// templates: the files of the instruction sets include this, and what they instantiate could be linked into
// the whole program.

#include "quantnoise/kernels/assign.h"
#include "quantnoise/kernels/decode.h"
#include "quantnoise/kernels/noise.h"

#if defined(__x86_64__)
#define QN_KERNELS_X86 1
#else
#define QN_KERNELS_X86 0
#endif
#if defined(__aarch64__)
#define QN_KERNELS_NEON 1
#else
#define QN_KERNELS_NEON 0
#endif

namespace quantnoise::kernels {

using Accumulate = void(const float* blocks, const uint16_t* codes, int64_t num_blocks, int block_size,
                        double* sums, int64_t* counts) noexcept;

namespace portable {
void assign(const ScoreArgs& args, uint16_t* codes, float* scores) noexcept;
void nearest_two(const ScoreArgs& args, const NearestTwo& out) noexcept;
void nearest_by_group(const ScoreArgs* groups, int num_groups, const NearestByGroup& out) noexcept;
void own_distance(const ScoreArgs& args, const uint16_t* codes, const OwnDistance& out) noexcept;
void own_limit(const ScoreArgs& args, const uint16_t* codes, const OwnLimit& out) noexcept;
int64_t select_not_above(const uint16_t* bounds, float offset, const float* limits, int64_t count,
                         uint16_t* picks) noexcept;
Accumulate accumulate;
void decode_f32(const uint16_t* codes, int64_t num_blocks, const float* centroids, int block_size,
                float* out) noexcept;
void decode_u16(const uint16_t* codes, int64_t num_blocks, const uint16_t* centroids, int block_size,
                uint16_t* out) noexcept;
void noise_f32(const NoiseArgs& args, const float* weight, uint64_t first_block, int64_t num_blocks,
               float* out) noexcept;
void noise_bf16(const NoiseArgs& args, const float* weight, uint64_t first_block, int64_t num_blocks,
                uint16_t* out) noexcept;
}  // namespace portable

#if QN_KERNELS_X86
namespace avx2 {
Accumulate accumulate;
}
namespace avx512 {
Accumulate accumulate;
}
#elif QN_KERNELS_NEON
namespace neon {
Accumulate accumulate;
}
#endif

}  // namespace quantnoise::kernels
