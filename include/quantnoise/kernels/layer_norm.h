#pragma once
// Layer normalization of rows, statistics in fp32. Ranges only, no threads. bf16 values are passed as their
// bits.

#include <cstdint>

namespace quantnoise::kernels {

struct LayerNormRows {
  const float* x = nullptr;      ///< (rows, cols)
  const float* gamma = nullptr;  ///< (cols)
  const float* beta = nullptr;   ///< (cols)
  int64_t rows = 0;
  int64_t cols = 0;
  float epsilon = 1e-5f;
  float* mean = nullptr;         ///< (rows); written by forward, read by backward
  float* inverse_std = nullptr;  ///< (rows); likewise
};

/// x_gradient (rows, cols) = gradient through the normalization + added (may be null; may be x_gradient
/// itself). gamma_sum and beta_sum (cols) are added to.
struct LayerNormGradients {
  const float* added = nullptr;
  float* x_gradient = nullptr;
  float* gamma_sum = nullptr;
  float* beta_sum = nullptr;
};

struct LayerNormKernels {
  const char* name;
  void (*forward_f32)(const LayerNormRows& rows, float* out);
};

struct LayerNormTrainingKernels {
  const char* name;
  void (*forward_bf16)(const LayerNormRows& rows, uint16_t* out);
  void (*backward_f32)(const LayerNormRows& rows, const float* gradient, const LayerNormGradients& out);
  void (*backward_bf16)(const LayerNormRows& rows, const uint16_t* gradient, const LayerNormGradients& out);
};

extern const LayerNormKernels kLayerNormPortable;
extern const LayerNormTrainingKernels kLayerNormTrainingPortable;
#if defined(__x86_64__)
extern const LayerNormKernels kLayerNormAvx2;
extern const LayerNormKernels kLayerNormAvx512;
extern const LayerNormTrainingKernels kLayerNormTrainingAvx2;
extern const LayerNormTrainingKernels kLayerNormTrainingAvx512;
#endif

// Of the set in use.
const LayerNormKernels& layer_norm_kernels();
const LayerNormTrainingKernels& layer_norm_training_kernels();

}  // namespace quantnoise::kernels
