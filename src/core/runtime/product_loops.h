#pragma once
// What one thread does for its share of a product.

#include <span>

#include "core/runtime/product_codes.h"
#include "core/runtime/product_state.h"

namespace quantnoise::runtime {

/// The codes that look_up() reads first: to be brought into the cache while tables are built.
kernels::BytesAhead first_codes(const ProductCodes& codes, StepRange range);

/// Rows of `range` for one or more input vectors. y: (tables.size(), rows).
void look_up(const ProductCodes& codes, StepRange range, std::span<const ProductTables::State* const> tables,
             float* y);

/// The same by decoding. x: (n, cols); y: (n, rows).
void multiply_panels(const ProductCodes& codes, StepRange range, const kernels::PaddedCentroids& centroids,
                     const float* x, int64_t n, float* y, AlignedBuffer<float>& memory);

}  // namespace quantnoise::runtime
