#pragma once
// The layer norm loops, compiled once for each instruction set.

#include "core/kernels/lanes.h"
#include "quantnoise/kernels/layer_norm.h"

namespace quantnoise::kernels {
namespace {

inline float row_mean(const float* x, int64_t cols) {
  Floats sums{};
  int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) sums += load(x + i);
  float sum = sum_lanes(sums);
  for (; i < cols; ++i) sum += x[i];
  return sum / static_cast<float>(cols);
}

inline float row_variance(const float* x, int64_t cols, float mean) {
  Floats sums{};
  int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) {
    const Floats difference = load(x + i) - mean;
    sums += difference * difference;
  }
  float sum = sum_lanes(sums);
  for (; i < cols; ++i) sum += (x[i] - mean) * (x[i] - mean);
  return sum / static_cast<float>(cols);
}

template <typename Out>
inline void normalize_rows(const LayerNormRows& rows, Out* out) {
  for (int64_t r = 0; r < rows.rows; ++r) {
    const float* x = rows.x + r * rows.cols;
    Out* to = out + r * rows.cols;
    const float mean = row_mean(x, rows.cols);
    const float inverse_std = 1.0f / __builtin_sqrtf(row_variance(x, rows.cols, mean) + rows.epsilon);
    rows.mean[r] = mean;
    rows.inverse_std[r] = inverse_std;
    int64_t i = 0;
    for (; i + kLanes <= rows.cols; i += kLanes) {
      store(to + i, (load(x + i) - mean) * inverse_std * load(rows.gamma + i) + load(rows.beta + i));
    }
    for (; i < rows.cols; ++i) store_one(to + i, (x[i] - mean) * inverse_std * rows.gamma[i] + rows.beta[i]);
  }
}

struct RowSums {
  float gradient = 0;    ///< Σ g γ
  float projection = 0;  ///< Σ g γ x̂
};

/// Adds to the sums of gamma and beta on the way.
template <typename In>
inline RowSums sum_row(const LayerNormRows& rows, int64_t r, const In* gradient,
                       const LayerNormGradients& out) {
  const float* x = rows.x + r * rows.cols;
  const float mean = rows.mean[r], inverse_std = rows.inverse_std[r];
  Floats sums{}, projections{};
  int64_t i = 0;
  for (; i + kLanes <= rows.cols; i += kLanes) {
    const Floats normalized = (load(x + i) - mean) * inverse_std;
    const Floats g = load(gradient + i);
    store(out.gamma_sum + i, load(out.gamma_sum + i) + g * normalized);
    store(out.beta_sum + i, load(out.beta_sum + i) + g);
    const Floats scaled = g * load(rows.gamma + i);
    sums += scaled;
    projections += scaled * normalized;
  }
  RowSums total{sum_lanes(sums), sum_lanes(projections)};
  for (; i < rows.cols; ++i) {
    const float normalized = (x[i] - mean) * inverse_std;
    const float g = load_one(gradient + i);
    out.gamma_sum[i] += g * normalized;
    out.beta_sum[i] += g;
    total.gradient += g * rows.gamma[i];
    total.projection += g * rows.gamma[i] * normalized;
  }
  return total;
}

template <typename In>
inline void differentiate_rows(const LayerNormRows& rows, const In* gradients,
                               const LayerNormGradients& out) {
  const float inverse_cols = 1.0f / static_cast<float>(rows.cols);
  for (int64_t r = 0; r < rows.rows; ++r) {
    const In* gradient = gradients + r * rows.cols;
    const RowSums sums = sum_row(rows, r, gradient, out);
    const float* x = rows.x + r * rows.cols;
    const float* added = out.added ? out.added + r * rows.cols : nullptr;
    float* to = out.x_gradient + r * rows.cols;
    const float mean = rows.mean[r], inverse_std = rows.inverse_std[r];
    const float shift = sums.gradient * inverse_cols, slope = sums.projection * inverse_cols;
    int64_t i = 0;
    for (; i + kLanes <= rows.cols; i += kLanes) {
      const Floats normalized = (load(x + i) - mean) * inverse_std;
      Floats result = (load(gradient + i) * load(rows.gamma + i) - shift - normalized * slope) * inverse_std;
      if (added) result += load(added + i);
      store(to + i, result);
    }
    for (; i < rows.cols; ++i) {
      const float normalized = (x[i] - mean) * inverse_std;
      const float result =
          (load_one(gradient + i) * rows.gamma[i] - shift - normalized * slope) * inverse_std;
      to[i] = added ? result + added[i] : result;
    }
  }
}

inline void forward_f32(const LayerNormRows& rows, float* out) { normalize_rows(rows, out); }
inline void forward_bf16(const LayerNormRows& rows, uint16_t* out) { normalize_rows(rows, out); }
inline void backward_f32(const LayerNormRows& rows, const float* gradient, const LayerNormGradients& out) {
  differentiate_rows(rows, gradient, out);
}
inline void backward_bf16(const LayerNormRows& rows, const uint16_t* gradient,
                          const LayerNormGradients& out) {
  differentiate_rows(rows, gradient, out);
}

inline constexpr LayerNormKernels layer_norm_set(const char* name) { return {name, forward_f32}; }
inline constexpr LayerNormTrainingKernels layer_norm_training_set(const char* name) {
  return {name, forward_bf16, backward_f32, backward_bf16};
}

}  // namespace
}  // namespace quantnoise::kernels
