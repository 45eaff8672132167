// Which order of product codes suits a look-up kernel? Sketches of a matrix–vector product on the codes (4096
// × 4096, blocks of 8, 256 centroids) read matrices in every candidate order from memory, cycling through
// more of them than the caches hold; fetching single rows (embeddings) is timed as well.
//
//   lookup_order_bench            prints a table; the decision it led to: docs/decisions/0002-code-order.md

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"
#include "quantnoise/kernels/instruction_set.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr int kRows = 4096;
constexpr int kBlocks = 512;  // of 8 columns
constexpr int kCentroids = 256;
constexpr int kMatrices = 64;  // 128 MiB of codes
constexpr int kRepeats = 7;
constexpr int kStrip = 64;
constexpr int kRowsAtOnce[] = {64, 256, 1024};

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Tables of one input vector: for every block the products with all centroids, as fp32 and as 16-bit numbers
// whose low and high bytes lie in planes of 256.
struct Tables {
  std::vector<float> fp32 = std::vector<float>(kBlocks * kCentroids);
  std::vector<uint8_t> planes = std::vector<uint8_t>(kBlocks * 2 * kCentroids);

  Tables() {
    quantnoise::base::SequentialRandom random(1);
    for (int b = 0; b < kBlocks; ++b) {
      for (int k = 0; k < kCentroids; ++k) {
        const auto value = static_cast<uint16_t>(random.below(32768));  // sums stay exact in fp32
        fp32[static_cast<size_t>(b * kCentroids + k)] = value;
        planes[static_cast<size_t>(2 * b * kCentroids + k)] = static_cast<uint8_t>(value);
        planes[static_cast<size_t>((2 * b + 1) * kCentroids + k)] = static_cast<uint8_t>(value >> 8);
      }
    }
  }
};

// Codes are in tiles of tile_rows rows, block-major inside a tile; one byte a code.
int64_t code_place(int tile_rows, int row, int block) {
  return int64_t{row / tile_rows} * tile_rows * kBlocks + int64_t{block} * tile_rows + row % tile_rows;
}

// Plain loop over fp32 tables: codes strictly in order, sums of the tile's rows in cache.
void multiply_fp32(const Tables& tables, const uint8_t* codes, int tile_rows, float* out) {
  std::fill_n(out, kRows, 0.0f);
  for (int tile = 0; tile < kRows; tile += tile_rows) {
    for (int b = 0; b < kBlocks; ++b) {
      const float* table = tables.fp32.data() + b * kCentroids;
      for (int r = 0; r < tile_rows; ++r) out[tile + r] += table[*codes++];
    }
  }
}

#if defined(__x86_64__)
#define QN_TARGET_VBMI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")))

// Sums of 64 rows: words of even bytes (plus 256 × odd bytes, modulo 2^16) and of odd bytes, for both planes.
struct StripSums {
  __m512i even[2], odd[2];
};

QN_TARGET_VBMI inline void add_codes(const uint8_t* planes, const uint8_t* codes, StripSums& sums) {
  const __m512i code = _mm512_loadu_si512(codes);
  const __mmask64 upper_half = _mm512_movepi8_mask(code);
  for (int plane = 0; plane < 2; ++plane) {
    const uint8_t* t = planes + plane * kCentroids;
    const __m512i low = _mm512_permutex2var_epi8(_mm512_loadu_si512(t), code, _mm512_loadu_si512(t + 64));
    const __m512i high =
        _mm512_permutex2var_epi8(_mm512_loadu_si512(t + 128), code, _mm512_loadu_si512(t + 192));
    const __m512i bytes = _mm512_mask_mov_epi8(low, upper_half, high);
    sums.even[plane] = _mm512_add_epi16(sums.even[plane], bytes);
    sums.odd[plane] = _mm512_add_epi16(sums.odd[plane], _mm512_srli_epi16(bytes, 8));
  }
}

// Adds the words to the 64 wide sums and clears them.
QN_TARGET_VBMI inline void widen(StripSums& sums, uint32_t* out) {
  uint16_t even[2][32], odd[2][32];
  for (int plane = 0; plane < 2; ++plane) {
    const __m512i shifted = _mm512_slli_epi16(sums.odd[plane], 8);
    _mm512_storeu_si512(even[plane], _mm512_sub_epi16(sums.even[plane], shifted));
    _mm512_storeu_si512(odd[plane], sums.odd[plane]);
    sums.even[plane] = sums.odd[plane] = _mm512_setzero_si512();
  }
  for (int i = 0; i < 32; ++i) {
    out[2 * i] += even[0][i] + 256u * even[1][i];
    out[2 * i + 1] += odd[0][i] + 256u * odd[1][i];
  }
}

// Asks for the codes a region further on. The read of one byte a page brings in the page's address:
// processors drop prefetches without it.
inline void fetch_ahead(const uint8_t* codes, int64_t num_bytes) {
  for (int64_t at = 0; at < num_bytes; at += 4096)
    static_cast<void>(*static_cast<const volatile uint8_t*>(codes + at));
  for (int64_t at = 0; at < num_bytes; at += 64) __builtin_prefetch(codes + at, 0, 2);
}

// 16-bit tables by byte shuffles. Rows are taken `rows_at_once` (whole tiles, at least one), blocks in groups
// whose tables stay in the first-level cache: a group's codes of one tile are one contiguous region. The
// strips of 64 rows are walked with their sums in registers; words hold 256 sums of bytes.
template <int kGroup>
QN_TARGET_VBMI void multiply_shuffle(const Tables& tables, const uint8_t* codes, int tile_rows,
                                     int rows_at_once, uint32_t* out) {
  std::memset(out, 0, kRows * sizeof(uint32_t));
  const int set_rows = std::max(tile_rows, rows_at_once);
  const int64_t region_bytes = int64_t{kGroup} * tile_rows;
  for (int set = 0; set < kRows; set += set_rows) {
    for (int group = 0; group < kBlocks; group += kGroup) {
      for (int tile = set; tile < set + set_rows; tile += tile_rows) {
        const uint8_t* region = codes + int64_t{tile} * kBlocks + int64_t{group} * tile_rows;
        if (tile + tile_rows < kRows || group + kGroup < kBlocks)
          fetch_ahead(region + region_bytes, region_bytes);
        for (int strip = 0; strip < tile_rows; strip += kStrip) {
          StripSums sums{};
          for (int b = 0; b < kGroup; ++b) {
            const uint8_t* planes = tables.planes.data() + 2 * (group + b) * kCentroids;
            add_codes(planes, region + int64_t{b} * tile_rows + strip, sums);
          }
          widen(sums, out + tile + strip);
        }
      }
    }
  }
}

bool machine_can_shuffle() {
  return __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw");
}
#else
bool machine_can_shuffle() { return false; }
#endif

struct Data {
  Tables tables;
  std::vector<uint8_t> row_major = std::vector<uint8_t>(static_cast<size_t>(kRows) * kBlocks);
  std::vector<uint8_t> ordered = std::vector<uint8_t>(row_major.size() * kMatrices);

  Data() {
    quantnoise::base::SequentialRandom random(2);
    for (uint8_t& code : row_major) code = static_cast<uint8_t>(random.next());
  }

  void order(int tile_rows) {
    for (int r = 0; r < kRows; ++r) {
      for (int b = 0; b < kBlocks; ++b) {
        ordered[static_cast<size_t>(code_place(tile_rows, r, b))] =
            row_major[static_cast<size_t>(r * kBlocks + b)];
      }
    }
    for (int m = 1; m < kMatrices; ++m) {
      std::copy_n(ordered.begin(), row_major.size(),
                  ordered.begin() + static_cast<int64_t>(row_major.size()) * m);
    }
  }

  const uint8_t* matrix(int m) const { return ordered.data() + row_major.size() * static_cast<size_t>(m); }
};

// Microseconds of one product, the best of the passes over all matrices; the first result is checked.
template <typename Sum, typename Multiply>
double time_products(const Data& data, const Multiply& multiply) {
  std::vector<Sum> out(kRows);
  multiply(data.matrix(0), out.data());
  for (int r = 0; r < kRows; r += 97) {
    double expected = 0;
    for (int b = 0; b < kBlocks; ++b) {
      const int code = data.row_major[static_cast<size_t>(r * kBlocks + b)];
      expected += data.tables.fp32[static_cast<size_t>(b * kCentroids + code)];
    }
    QN_INVARIANT(static_cast<double>(out[static_cast<size_t>(r)]) == expected);
  }
  double best = 1e9;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const auto start = Clock::now();
    for (int m = 0; m < kMatrices; ++m) multiply(data.matrix(m), out.data());
    best = std::min(best, seconds_since(start) / kMatrices);
  }
  return best * 1e6;
}

// The shuffling product, where this machine can.
template <int kGroup>
std::string time_shuffle(const Data& data, int tile_rows, int rows_at_once) {
  if (!machine_can_shuffle()) return "-";
  double time = 0;
#if defined(__x86_64__)
  time = time_products<uint32_t>(data, [&](const uint8_t* codes, uint32_t* out) {
    multiply_shuffle<kGroup>(data.tables, codes, tile_rows, rows_at_once, out);
  });
#endif
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f us", time);
  return text;
}

// Nanoseconds to collect the codes of one random row.
double time_rows(const Data& data, int tile_rows) {
  constexpr int kFetches = 4096;
  double best = 1e9;
  uint32_t checksum = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    quantnoise::base::SequentialRandom random(static_cast<uint64_t>(repeat));
    const auto start = Clock::now();
    for (int i = 0; i < kFetches; ++i) {
      const uint8_t* codes = data.matrix(static_cast<int>(random.below(kMatrices)));
      const int row = static_cast<int>(random.below(kRows));
      for (int b = 0; b < kBlocks; ++b) checksum += codes[code_place(tile_rows, row, b)];
    }
    best = std::min(best, seconds_since(start) / kFetches);
  }
  QN_INVARIANT(checksum != 1);  // keeps the loop
  return best * 1e9;
}

}  // namespace

int main() {
  std::printf("%s\n%d x %d, blocks of 8, %d centroids; %d matrices in turn, best of %d passes\n\n",
              quantnoise::kernels::cpu_description().c_str(), kRows, kBlocks * 8, kCentroids, kMatrices,
              kRepeats);
  std::printf("16-bit tables: blocks in a group / rows at once\n%9s  %11s", "tile rows", "fp32 plain");
  for (const int rows_at_once : kRowsAtOnce) {
    for (const int group : {32, 64})
      std::printf("  %11s", quantnoise::str_cat(group, "/", rows_at_once).c_str());
  }
  std::printf("  %11s\n", "row fetch");
  Data data;
  for (const int tile_rows : {64, 128, 256, 512, 1024, kRows}) {
    data.order(tile_rows);
    const double plain = time_products<float>(
        data, [&](const uint8_t* codes, float* out) { multiply_fp32(data.tables, codes, tile_rows, out); });
    std::printf("%9d  %8.1f us", tile_rows, plain);
    for (const int rows_at_once : kRowsAtOnce) {
      std::printf("  %11s  %11s", time_shuffle<32>(data, tile_rows, rows_at_once).c_str(),
                  time_shuffle<64>(data, tile_rows, rows_at_once).c_str());
    }
    std::printf("  %8.0f ns\n", time_rows(data, tile_rows));
  }
  return 0;
}
