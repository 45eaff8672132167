#pragma once
// Affine (scalar) quantization: the inner loops, once for each instruction set. Kernels work on a range of
// elements of one channel and start no threads. Every set gives the same bits.
//
//   multiple(x) = round(clip(x · inverse_scale, low, high)), half to even
//   code(x)     = zero_point + multiple(x),   0 … 2^bits − 1
//   value(x)    = scale · multiple(x)
//
// low and high are whole numbers, so clipping before rounding and clipping codes are the same thing.

#include <cstdint>

namespace quantnoise::base {
struct RandomStream;
}

namespace quantnoise::kernels {

/// One channel's grid, made ready for the loops.
struct AffineStep {
  float scale = 1;
  float inverse_scale = 1;  ///< fl(1 / scale)
  float low = 0;            ///< −zero_point
  float high = 255;         ///< 2^bits − 1 − zero_point
  int32_t zero_point = 0;
};

/// scale: a positive normal number; zero_point: 0 … 2^bits − 1; bits: 2 … 8.
AffineStep affine_step(float scale, int32_t zero_point, int bits);

/// Which elements are quantized: element i is when its 16-bit draw, half i mod 2 (the low one first) of draw
/// ⌊i / 2⌋ of the stream (base/random.h), is below the threshold. One Philox block serves 8 elements.
struct AffineDraws {
  uint32_t key[2] = {0, 0};
  uint32_t update = 0;
  uint32_t micro_batch = 0;
  uint32_t threshold = 0;  ///< 0 … 2^16; 2^16 quantizes everything
};

/// The threshold is probability · 2^16 rounded to the nearest, at least 1 for a probability above 0 and at
/// most 2^16 − 1 for one below 1: the resolution of a probability is 2^-16, 0 and 1 are exact.
AffineDraws affine_draws(const base::RandomStream& stream, double probability);

/// Smallest and largest value seen, meaningful while all values were finite.
struct MinMax {
  float min = 0;
  float max = 0;
  bool finite = true;
};

/// Bins of equal width: bin b covers [first + b, first + b + 1) / inverse_width.
struct HistogramBins {
  float inverse_width = 1;  ///< a power of two
  int32_t first = 0;
  int32_t num_bins = 2048;
};

/// Sums over elements x with multiple k and value q = scale · k.
struct AffineFit {
  double squared_error = 0;  ///< Σ (x − q)²
  double cross = 0;          ///< Σ x · k
  double squares = 0;        ///< Σ k²; cross / squares is the best scale for these multiples
};

// count: elements. bf16 values are passed as their bits. x and out of equal types may be the same. Values
// that are not a number stay so (codes: x must be finite); infinity clips.

struct AffineCodeKernels {
  const char* name;
  void (*quantize)(const AffineStep& step, const float* x, int64_t count, uint8_t* codes);
  void (*dequantize_f32)(const AffineStep& step, const uint8_t* codes, int64_t count, float* out);
  void (*dequantize_bf16)(const AffineStep& step, const uint8_t* codes, int64_t count, uint16_t* out);
};

/// Values of a grid, and the range that a grid is chosen by.
struct AffineValueKernels {
  const char* name;
  /// Widens `seen`.
  void (*min_max)(const float* x, int64_t count, MinMax* seen);
  /// out = value(x)
  void (*fake_quantize_f32)(const AffineStep& step, const float* x, int64_t count, float* out);
  void (*fake_quantize_bf16)(const AffineStep& step, const uint16_t* x, int64_t count, uint16_t* out);
  void (*fake_quantize_f32_to_bf16)(const AffineStep& step, const float* x, int64_t count, uint16_t* out);
};

struct AffineNoiseKernels {
  const char* name;
  /// out = value(x) where the element's draw is below the threshold, else x. first: index of the first
  /// element's draw.
  void (*noise_f32)(const AffineStep& step, const AffineDraws& draws, uint64_t first, const float* x,
                    int64_t count, float* out);
  void (*noise_bf16)(const AffineStep& step, const AffineDraws& draws, uint64_t first, const uint16_t* x,
                     int64_t count, uint16_t* out);
  void (*noise_f32_to_bf16)(const AffineStep& step, const AffineDraws& draws, uint64_t first, const float* x,
                            int64_t count, uint16_t* out);
};

/// What the search for the best range asks.
struct AffineRangeKernels {
  const char* name;
  /// ++counts[bin of x]; what lies outside counts in the nearest bin.
  void (*histogram)(const HistogramBins& bins, const float* x, int64_t count, int64_t* counts);
  /// Adds to `fit`: 16 interleaved sums, combined in order at the end.
  void (*fit)(const AffineStep& step, const float* x, int64_t count, AffineFit* fit);
};

extern const AffineCodeKernels kAffineCodePortable;
extern const AffineValueKernels kAffineValuePortable;
extern const AffineNoiseKernels kAffineNoisePortable;
extern const AffineRangeKernels kAffineRangePortable;
#if defined(__x86_64__)
extern const AffineCodeKernels kAffineCodeAvx2;
extern const AffineCodeKernels kAffineCodeAvx512;
extern const AffineValueKernels kAffineValueAvx2;
extern const AffineValueKernels kAffineValueAvx512;
extern const AffineNoiseKernels kAffineNoiseAvx2;
extern const AffineRangeKernels kAffineRangeAvx2;
extern const AffineNoiseKernels kAffineNoiseAvx512;
extern const AffineRangeKernels kAffineRangeAvx512;
#endif

// Of the set in use.
const AffineCodeKernels& affine_code_kernels();
const AffineValueKernels& affine_value_kernels();
const AffineNoiseKernels& affine_noise_kernels();
const AffineRangeKernels& affine_range_kernels();

}  // namespace quantnoise::kernels
