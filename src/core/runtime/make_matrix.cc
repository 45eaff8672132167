#include <utility>

#include "core/runtime/affine_matrix.h"
#include "core/runtime/dense_matrix.h"
#include "quantnoise/runtime/product_matrix.h"

namespace quantnoise::runtime {

std::unique_ptr<Matrix> make_matrix(codec::PackedWeight weight) {
  if (weight.scheme == codec::Scheme::kProduct) return std::make_unique<ProductMatrix>(std::move(weight));
  if (weight.scheme == codec::Scheme::kAffine) return std::make_unique<AffineMatrix>(std::move(weight));
  return std::make_unique<DenseMatrix>(std::move(weight));
}

}  // namespace quantnoise::runtime
