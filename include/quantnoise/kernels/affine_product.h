#pragma once
// Affine codes of 2 … 8 bits times one vector, on the bytes as the model file holds them.
//
// The vector becomes integers of 16 bits (precise) or 8 bits (fast) with one factor for every 16 elements, so
// that a few large inputs do not drown the others. A row is walked in steps of a fixed number of bytes;
// within a step lane j of 16 adds (code − middle) · integer over 4 · parts neighbouring columns, exactly, and
// then once a step factor · (that sum) in fp32. Sets of instructions differ in nothing but speed: every set
// gives the same bits. Ranges only, no threads.
//
//   bits 8          a step is 64 bytes, 64 columns
//   bits 4          a step is 64 bytes, 128 columns: column 2i + p is part p of byte i
//   bits 2          a step is 64 bytes, 256 columns: column 4i + p is part p of byte i
//   bits 3, 5, 6, 7 a step is 8 · bits bytes, 64 columns

#include <cstdint>

namespace quantnoise::kernels {

constexpr int kAffineLanes = 16;
constexpr int64_t kAffineGroup = 16;  ///< columns that share a factor

/// How the bytes of a row are walked.
struct AffineSteps {
  int bits = 8;
  int parts = 1;  ///< vectors of 64 codes in a step
  int64_t step_bytes = 64;
  int64_t num_steps = 0;  ///< the last may be shorter

  /// cols: columns of the weight, whose rows begin at whole bytes.
  static AffineSteps of(int bits, int64_t cols);
  int64_t columns() const { return 64 * parts; }
  int middle() const { return 1 << (bits - 1); }
};

/// One vector as integers; memory for num_steps steps. Columns behind the last one are zeros.
struct AffineInput {
  AffineSteps steps;
  bool whole = false;   ///< x consists of integers within ±32639 that are taken as they are (precise only)
  bool precise = true;  ///< 16 bits, else 8
  uint8_t* integers = nullptr;  ///< (num_steps, parts, 128), at 64 bytes; order private to the set
  int32_t* offsets = nullptr;   ///< (num_steps, 16), at 64 bytes: −middle · the lane's sum of integers
  float* factors = nullptr;     ///< (num_steps, 16), at 64 bytes: of the lane's columns
};

/// Rows of codes, row_bytes apart.
struct AffineRows {
  const uint8_t* codes = nullptr;
  int64_t row_bytes = 0;
  int64_t num_rows = 0;
};

struct AffineProductKernels {
  const char* name;
  /// x: (cols). False, and nothing to be used, when x is not finite or its largest magnitude lies outside of
  /// 1e-30 … 1e30 (zeros alone are fine).
  bool (*quantize)(const float* x, int64_t cols, const AffineInput& input) noexcept;
  /// out (num_rows) = Σ (code − middle) · input
  void (*multiply)(const AffineInput& input, const AffineRows& rows, float* out) noexcept;
  /// Codes from `codes` on as bytes; bits: 2 … 8; nothing beyond the bytes that hold them is read.
  void (*unpack)(const uint8_t* codes, int bits, int64_t count, uint8_t* out) noexcept;
};

/// Σ of the quantized input, in double precision.
double affine_input_sum(const AffineInput& input);

extern const AffineProductKernels kAffineProductPortable;
#if defined(__x86_64__)
extern const AffineProductKernels kAffineProductAvx2;
extern const AffineProductKernels kAffineProductAvx512;  ///< the loops of avx2
extern const AffineProductKernels kAffineProductAvx512Vnni;
#endif

/// Of the set in use.
const AffineProductKernels& affine_product_kernels();

}  // namespace quantnoise::kernels
