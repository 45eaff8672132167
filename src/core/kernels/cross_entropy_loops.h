#pragma once
// The cross-entropy loops, compiled once for each instruction set.

#include "core/kernels/lanes.h"
#include "quantnoise/kernels/cross_entropy.h"

namespace quantnoise::kernels {
namespace {

/// e^x of one value, by the same polynomial as the vectors.
inline float exp_one(float x) { return exp_of(broadcast(x))[0]; }

template <typename In>
inline float copy_and_maximum(const In* in, int64_t count, float* out) {
  Floats best[2] = {broadcast(-__builtin_inff()), broadcast(-__builtin_inff())};
  int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    for (int j = 0; j < 2; ++j) {
      const Floats value = load(in + i + j * kLanes);
      if constexpr (sizeof(In) != sizeof(float)) store(out + i + j * kLanes, value);
      best[j] = max_of(best[j], value);
    }
  }
  float maximum = max_lanes(max_of(best[0], best[1]));
  for (; i < count; ++i) {
    const float value = load_one(in + i);
    if constexpr (sizeof(In) != sizeof(float)) out[i] = value;
    maximum = value > maximum ? value : maximum;
  }
  return maximum;
}

/// values ← e^(value − shift); returns their sum. Sixteen partial sums: rows are long.
inline float exponentials(float* values, int64_t count, float shift) {
  constexpr int kParts = 64 / kLanes > 4 ? 4 : 64 / kLanes;
  Floats sums[kParts] = {};
  int64_t i = 0;
  for (; i + kParts * kLanes <= count; i += kParts * kLanes) {
    for (int j = 0; j < kParts; ++j) {
      const Floats value = exp_of(load(values + i + j * kLanes) - shift);
      store(values + i + j * kLanes, value);
      sums[j] += value;
    }
  }
  float rest = 0;
  for (; i < count; ++i) rest += values[i] = exp_one(values[i] - shift);
  return sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

template <typename Out>
inline void scale_row(const float* in, int64_t count, float factor, Out* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, load(in + i) * factor);
  for (; i < count; ++i) store_one(out + i, in[i] * factor);
}

template <typename Logit>
inline float cross_entropy_row(Logit* logits, int64_t count, int64_t target, bool gradient, float* values) {
  const float maximum = copy_and_maximum(logits, count, values);
  const float target_logit = values[target];
  const float sum = exponentials(values, count, maximum);
  if (gradient) {
    const float inverse = 1.0f / sum;
    const float target_gradient = values[target] * inverse - 1.0f;
    scale_row(values, count, inverse, logits);
    store_one(logits + target, target_gradient);
  }
  return __builtin_logf(sum) + maximum - target_logit;
}

inline float row_f32(float* logits, int64_t count, int64_t target, bool gradient) {
  return cross_entropy_row(logits, count, target, gradient, logits);
}
inline float row_bf16(uint16_t* logits, int64_t count, int64_t target, bool gradient, float* scratch) {
  return cross_entropy_row(logits, count, target, gradient, scratch);
}

inline constexpr CrossEntropyKernels cross_entropy_set(const char* name) { return {name, row_f32}; }
inline constexpr CrossEntropyTrainingKernels cross_entropy_training_set(const char* name) {
  return {name, row_bf16};
}

}  // namespace
}  // namespace quantnoise::kernels
