#include "core/runtime/product_loops.h"

#include <algorithm>

#include "quantnoise/base/checked.h"
#include "quantnoise/kernels/short_panel.h"

namespace quantnoise::runtime {

namespace {

using kernels::kStepRows;

// Steps whose codes lie in the second-level cache while several vectors look them up; and for one vector.
constexpr int64_t kStripBytes = 256 * 1024;
constexpr int kSmallestStrip = 8;  // kernels take up to eight at once
constexpr int kLargestStrip = 64;
// Codes that come into the cache while tables are built: what the memory gives in that time.
constexpr int64_t kBytesAhead = 512 * 1024;
// Of a step that does not come while tables are built: what the look-up reads before its own requests arrive.
constexpr int64_t kBeginningBytes = 2048;
// Inputs of a decoded panel, which then has 64 KiB.
constexpr int64_t kPanelDepth = 256;

struct Strip {
  int64_t first = 0;
  int64_t num_steps = 0;
};

// The strip that begins at `first`, within the range and with one stride.
Strip strip_at(const ProductCodes& codes, int64_t first, int64_t end, size_t num_vectors) {
  const int64_t fitting = num_vectors > 1 ? kStripBytes / codes.step_bytes() : kLargestStrip;
  const int64_t wanted =
      std::clamp<int64_t>(base::round_up(fitting, kSmallestStrip), kSmallestStrip, kLargestStrip);
  Strip strip{first, std::min(wanted, end - first)};
  for (int64_t i = 1; i < strip.num_steps; ++i) {
    if (codes.block_stride(first + i) != codes.block_stride(first)) strip.num_steps = i;
  }
  return strip;
}

// out: (64 · num_steps)
void look_up_strip(const ProductCodes& codes, Strip strip, const ProductTables::State& tables,
                   bool read_again, float* out) {
  if (tables.has_tables) {
    const uint8_t* steps[kLargestStrip];
    for (int64_t i = 0; i < strip.num_steps; ++i) steps[i] = codes.step(strip.first + i);
    const kernels::LookupRows rows{steps, static_cast<int>(strip.num_steps), codes.block_stride(strip.first),
                                   read_again};
    kernels::lookup_kernels().add_rows(tables.tables, rows, 0.0f, out);
    return;
  }
  for (int64_t i = 0; i < strip.num_steps; ++i) {
    kernels::panel_kernels().multiply_vector(codes.code_step(strip.first + i, 0), codes.num_blocks(),
                                             tables.codebook->state().padded, tables.padded_x.data(),
                                             out + i * kStepRows);
  }
}

}  // namespace

kernels::BytesAhead first_codes(const ProductCodes& codes, StepRange range, Arithmetic arithmetic) {
  if (range.begin == range.end) return {};
  const int64_t num_steps = range.end - range.begin, bytes = codes.step_bytes();
  if (arithmetic == Arithmetic::kPrecise)
    return {codes.step(range.begin), std::min(kBytesAhead, num_steps * bytes)};
  // Tables of 8 bits are built in less time: every other step, and the beginnings of those between, so that
  // the memory has work later too.
  const int64_t beginning = std::min(kBeginningBytes, bytes);
  const int64_t total = (num_steps + 1) / 2 * bytes + num_steps / 2 * beginning;
  return {codes.step(range.begin), std::min(kBytesAhead, total), bytes + beginning, bytes - beginning};
}

void look_up(const ProductCodes& codes, StepRange range, std::span<const ProductTables::State* const> tables,
             float* y) {
  const int64_t rows = codes.rows();
  for (int64_t first = range.begin; first < range.end;) {
    const Strip strip = strip_at(codes, first, range.end, tables.size());
    const int64_t row = strip.first * kStepRows, num_rows = strip.num_steps * kStepRows;
    for (size_t i = 0; i < tables.size(); ++i) {
      const bool read_again = i + 1 < tables.size();
      float* to = y + static_cast<int64_t>(i) * rows + row;
      if (row + num_rows <= rows) {
        look_up_strip(codes, strip, *tables[i], read_again, to);
      } else {
        float whole[kLargestStrip * kStepRows];
        look_up_strip(codes, strip, *tables[i], read_again, whole);
        std::copy_n(whole, rows - row, to);
      }
    }
    first += strip.num_steps;
  }
}

namespace {

// multiply(first, depth, panel, y, y_stride, accumulate): y (n, 64) = or += elements first … first + depth −
// 1 of x times the panel. An element is what the centroids have: one input in fp32, two in bf16, four in
// bytes.
template <typename Sum, typename Multiply>
void multiply_by_panels(const ProductCodes& codes, StepRange range, const kernels::PaddedCentroids& centroids,
                        int64_t n, Sum* y, AlignedBuffer<float>& memory, const Multiply& multiply) {
  if (range.begin == range.end) return;
  const int64_t block_size = centroids.block_size, blocks_at_once = kPanelDepth / block_size;
  float* panel = memory.resize((kPanelDepth + 4 + n) * kStepRows);
  auto* last_rows =
      reinterpret_cast<Sum*>(panel + (kPanelDepth + 4) * kStepRows);  // of a step not full: (n, 64)
  for (int64_t block = 0; block < codes.num_blocks(); block += blocks_at_once) {
    const int64_t num_blocks = std::min(blocks_at_once, codes.num_blocks() - block);
    for (int64_t step = range.begin; step < range.end; ++step) {
      kernels::panel_kernels().decode(codes.code_step(step, block), num_blocks, centroids, panel);
      const bool is_full = (step + 1) * kStepRows <= codes.rows();
      multiply(block * block_size, num_blocks * block_size, panel, is_full ? y + step * kStepRows : last_rows,
               is_full ? codes.rows() : kStepRows, block > 0);
    }
  }
  const int64_t first = range.end * kStepRows - kStepRows, num_left = codes.rows() - first;
  if (num_left >= kStepRows) return;
  for (int64_t i = 0; i < n; ++i)
    std::copy_n(last_rows + i * kStepRows, num_left, y + i * codes.rows() + first);
}

}  // namespace

void multiply_panels(const ProductCodes& codes, StepRange range, const kernels::PaddedCentroids& centroids,
                     const float* x, int64_t n, float* y, AlignedBuffer<float>& memory) {
  const int64_t cols = codes.num_blocks() * centroids.block_size;
  multiply_by_panels(
      codes, range, centroids, n, y, memory,
      [&](int64_t first, int64_t depth, const float* panel, float* to, int64_t stride, bool add) {
        kernels::panel_kernels().multiply(x + first, cols, n, depth, panel, to, stride, add);
      });
}

void multiply_panels(const ProductCodes& codes, StepRange range, const kernels::PaddedCentroids& centroids,
                     const uint16_t* x, int64_t n, float* y, AlignedBuffer<float>& memory) {
  const int64_t cols = codes.num_blocks() * centroids.block_size * 2;
  multiply_by_panels(
      codes, range, centroids, n, y, memory,
      [&](int64_t first, int64_t depth, const float* panel, float* to, int64_t stride, bool add) {
        kernels::bf16_panel_kernels()->multiply(
            {x + 2 * first, cols, n, depth, reinterpret_cast<const uint32_t*>(panel), to, stride, add});
      });
}

void multiply_panels(const ProductCodes& codes, StepRange range, const kernels::PaddedCentroids& centroids,
                     const uint8_t* x, int64_t n, int32_t* y, AlignedBuffer<float>& memory) {
  const int64_t cols = codes.num_blocks() * centroids.block_size * 4;
  multiply_by_panels(
      codes, range, centroids, n, y, memory,
      [&](int64_t first, int64_t depth, const float* panel, int32_t* to, int64_t stride, bool add) {
        kernels::byte_panel_kernels().multiply(
            {x + 4 * first, cols, n, depth, reinterpret_cast<const uint32_t*>(panel), to, stride, add});
      });
}

}  // namespace quantnoise::runtime
