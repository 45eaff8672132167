#pragma once
// Memory of vectors on their way through affine products.

#include "core/runtime/aligned_buffer.h"
#include "quantnoise/kernels/affine_product.h"

namespace quantnoise::runtime {

struct AffineInputMemory {
  AlignedBuffer<uint8_t> integers;
  AlignedBuffer<int32_t> offsets;
  AlignedBuffer<float> factors;
  kernels::AffineInput input;
  double sum = 0;    ///< of the quantized elements
  float scale = 1;   ///< of the products
  double shift = 0;  ///< of the product, from zero points by column

  int64_t owned_bytes() const {
    return integers.capacity_bytes() + offsets.capacity_bytes() + factors.capacity_bytes();
  }
  /// A place for one vector.
  kernels::AffineInput& prepare(const kernels::AffineSteps& steps, bool precise, bool whole) {
    input.steps = steps;
    input.precise = precise;
    input.whole = whole;
    input.integers = integers.resize(steps.num_steps * steps.parts * 128);
    input.offsets = offsets.resize(steps.num_steps * kernels::kAffineLanes);
    input.factors = factors.resize(steps.num_steps * kernels::kAffineLanes);
    return input;
  }
};

}  // namespace quantnoise::runtime
