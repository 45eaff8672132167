#if defined(__aarch64__)

#include "core/kernels/lookup_neon.h"

namespace quantnoise::kernels {
namespace {

/// 256 entries: tbl looks up among 64 bytes and gives 0 for indices beyond them; tbx keeps what it had.
struct Table256 {
  explicit Table256(const uint8_t* bytes) {
    for (int i = 0; i < 4; ++i) quarters[i] = vld1q_u8_x4(bytes + 64 * i);
  }
  /// The 64 codes of a step, in the order of the rows.
  void look_up(const uint8_t* codes, uint8x16_t (&found)[4]) const {
    for (int v = 0; v < 4; ++v) {
      uint8x16_t index = vld1q_u8(codes + 16 * v);
      found[v] = vqtbl4q_u8(quarters[0], index);
      for (int i = 1; i < 4; ++i) {
        index = vsubq_u8(index, vdupq_n_u8(64));
        found[v] = vqtbx4q_u8(found[v], quarters[i], index);
      }
    }
  }
  uint8x16x4_t quarters[4];
};

/// 16 entries, two rows a byte, the even one in the low half.
struct Table16 {
  explicit Table16(const uint8_t* bytes) : entries(vld1q_u8(bytes)) {}
  void look_up(const uint8_t* codes, uint8x16_t (&found)[4]) const {
    for (int half = 0; half < 2; ++half) {
      const uint8x16_t pairs = vld1q_u8(codes + 16 * half);
      const uint8x16_t even = vqtbl1q_u8(entries, vandq_u8(pairs, vdupq_n_u8(15)));
      const uint8x16_t odd = vqtbl1q_u8(entries, vshrq_n_u8(pairs, 4));
      found[2 * half] = vzip1q_u8(even, odd);
      found[2 * half + 1] = vzip2q_u8(even, odd);
    }
  }
  uint8x16_t entries;
};

constexpr int64_t kBytesAhead = 1024;

/// Sums of one plane of bytes over the blocks of a chunk, one a row; they stay below 2^16.
template <typename Table>
inline void add_plane(const LookupTables& tables, const LookupChunk& chunk, const uint8_t* codes,
                      int64_t block_stride, int64_t bytes_a_block, int64_t plane, uint16x8_t (&sums)[8]) {
  const int32_t* order = tables.order + chunk.first;
  const uint8_t* entries = tables.entries + chunk.first * bytes_a_block + plane;
  for (int v = 0; v < 8; ++v) sums[v] = vdupq_n_u16(0);
  for (int32_t i = 0; i < chunk.num_blocks; ++i) {
    const uint8_t* at = codes + order[i] * block_stride;
    __builtin_prefetch(at + kBytesAhead);
    uint8x16_t found[4];
    Table(entries + i * bytes_a_block).look_up(at, found);
    for (int v = 0; v < 4; ++v) {
      sums[2 * v] = vaddw_u8(sums[2 * v], vget_low_u8(found[v]));
      sums[2 * v + 1] = vaddw_high_u8(sums[2 * v + 1], found[v]);
    }
  }
}

/// to (4) += scale · (sum − center)
inline void add_scaled(const LookupChunk& chunk, uint32x4_t sum, float* to) {
  const int32x4_t centered = vsubq_s32(vreinterpretq_s32_u32(sum), vdupq_n_s32(chunk.center));
  const float32x4_t scaled = vmulq_f32(vdupq_n_f32(chunk.scale), vcvtq_f32_s32(centered));
  vst1q_f32(to, vaddq_f32(vld1q_f32(to), scaled));
}

template <typename Table, int kEntries, bool kWords>
inline void add_chunk(const LookupTables& tables, const LookupChunk& chunk, const uint8_t* codes,
                      int64_t block_stride, float* sums) {
  constexpr int64_t kBytes = kWords ? 2 * kEntries : kEntries;
  uint16x8_t low[8], high[8];
  add_plane<Table>(tables, chunk, codes, block_stride, kBytes, 0, low);
  if (kWords) add_plane<Table>(tables, chunk, codes, block_stride, kBytes, kEntries, high);
  for (int v = 0; v < 8; ++v) {
    uint32x4_t first = vmovl_u16(vget_low_u16(low[v])), second = vmovl_high_u16(low[v]);
    if (kWords) {
      first = vaddq_u32(first, vshll_n_u16(vget_low_u16(high[v]), 8));
      second = vaddq_u32(second, vshll_high_n_u16(high[v], 8));
    }
    add_scaled(chunk, first, sums + 8 * v);
    add_scaled(chunk, second, sums + 8 * v + 4);
  }
}

template <typename Table, int kEntries, bool kWords>
void add_rows_of(const LookupTables& tables, const LookupRows& rows, float offset, float* out) {
  const float shift = chunk_offset(tables, offset);
  for (int s = 0; s < rows.num_steps; ++s) {
    float sums[kStepRows] = {};
    for (int64_t c = 0; c < tables.num_chunks; ++c)
      add_chunk<Table, kEntries, kWords>(tables, tables.chunks[c], rows.steps[s], rows.block_stride, sums);
    for (int r = 0; r < kStepRows; r += 4)
      vst1q_f32(out + s * kStepRows + r, vaddq_f32(vld1q_f32(sums + r), vdupq_n_f32(shift)));
  }
}

void add_rows(const LookupTables& tables, const LookupRows& rows, float offset, float* out) noexcept {
  const bool bytes = tables.width == EntryWidth::k8Bits;
  if (tables.num_entries == 16) {
    (bytes ? add_rows_of<Table16, 16, false> : add_rows_of<Table16, 16, true>)(tables, rows, offset, out);
  } else {
    (bytes ? add_rows_of<Table256, 256, false> : add_rows_of<Table256, 256, true>)(tables, rows, offset, out);
  }
}

}  // namespace

const LookupKernels kLookupNeon = {"neon", 1, quantize_input, select_blocks_by_one, build_chunk, add_rows};

}  // namespace quantnoise::kernels

#endif
