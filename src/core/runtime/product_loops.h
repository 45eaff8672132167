#pragma once
// What one thread does for its share of a product.

#include <span>

#include "core/runtime/product_codes.h"
#include "core/runtime/product_state.h"

namespace quantnoise::runtime {

/// Codes that look_up() reads early: to be brought into the cache while tables of this arithmetic are built.
kernels::BytesAhead first_codes(const ProductCodes& codes, StepRange range, Arithmetic arithmetic);

/// Rows of `range` for one or more input vectors. y: (tables.size(), rows).
void look_up(const ProductCodes& codes, StepRange range, std::span<const ProductTables::State* const> tables,
             float* y);

/// The same by decoding. x: (n, cols); y: (n, rows).
void multiply_panels(const ProductCodes& codes, StepRange range, const kernels::PaddedCentroids& centroids,
                     const float* x, int64_t n, float* y, AlignedBuffer<float>& memory);
/// x as bf16, two elements of a centroid in every 32-bit one; bf16_panel_kernels() exist.
void multiply_panels(const ProductCodes& codes, StepRange range, const kernels::PaddedCentroids& centroids,
                     const uint16_t* x, int64_t n, float* y, AlignedBuffer<float>& memory);
/// x as unsigned bytes, four signed bytes of a centroid in every 32-bit element.
void multiply_panels(const ProductCodes& codes, StepRange range, const kernels::PaddedCentroids& centroids,
                     const uint8_t* x, int64_t n, int32_t* y, AlignedBuffer<float>& memory);

}  // namespace quantnoise::runtime
