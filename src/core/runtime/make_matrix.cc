#include <utility>

#include "quantnoise/base/error.h"
#include "quantnoise/runtime/product_matrix.h"

namespace quantnoise::runtime {

std::unique_ptr<Matrix> make_matrix(codec::PackedWeight weight) {
  QN_REQUIRE(weight.scheme == codec::Scheme::kProduct, ErrorKind::kUnsupported, "only product codes");
  return std::make_unique<ProductMatrix>(std::move(weight));
}

}  // namespace quantnoise::runtime
