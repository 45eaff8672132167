#include "quantnoise/quant/representation.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "learn/quant/dense_representation.h"
#include "learn/quant/product_representation.h"
#include "quantnoise/base/error.h"

namespace quantnoise::quant {

NoiseKind parse_noise_kind(const std::string& name) {
  for (const NoiseKind kind : {NoiseKind::kNone, NoiseKind::kPq, NoiseKind::kPqExact, NoiseKind::kMean}) {
    if (name == noise_kind_name(kind)) return kind;
  }
  throw Error(ErrorKind::kConfig,
              str_cat("noise kind: found '", name, "', expected pq, pq-exact, mean or none"));
}

std::string noise_kind_name(NoiseKind kind) {
  switch (kind) {
    case NoiseKind::kPq:
      return "pq";
    case NoiseKind::kPqExact:
      return "pq-exact";
    case NoiseKind::kMean:
      return "mean";
    case NoiseKind::kNone:
      break;
  }
  return "none";
}

MatrixShape matrix_shape(const std::vector<int64_t>& shape) {
  QN_REQUIRE(!shape.empty(), ErrorKind::kConfig, "weight: found a scalar, expected at least one dimension");
  return {shape.front(), std::accumulate(shape.begin() + 1, shape.end(), int64_t{1}, std::multiplies<>())};
}

std::unique_ptr<Representation> make_dense(at::Tensor weight, int64_t zero_row) {
  return std::make_unique<DenseRepresentation>(std::move(weight), zero_row);
}

std::unique_ptr<Representation> make_product(codec::ProductMatrix matrix, std::vector<int64_t> shape,
                                             codec::CentroidGradient gradient, int64_t zero_row) {
  return std::make_unique<ProductRepresentation>(std::move(matrix), std::move(shape), gradient, zero_row);
}

std::unique_ptr<Representation> from_packed(const codec::PackedWeight& packed,
                                            codec::CentroidGradient gradient, const std::string& name) {
  switch (packed.scheme) {
    case codec::Scheme::kDense: {
      const std::vector<float> values = codec::unpack_to_float(packed);
      at::Tensor weight = at::empty(packed.shape, at::kFloat);
      std::copy(values.begin(), values.end(), weight.mutable_data_ptr<float>());
      return make_dense(weight, packed.zero_row);
    }
    case codec::Scheme::kProduct:
      return make_product(codec::unpack_product(packed), packed.shape, gradient, packed.zero_row);
    case codec::Scheme::kAffine:
      break;
  }
  throw Error(ErrorKind::kUnsupported,
              str_cat("weight '", name, "' holds int", packed.code_bits,
                      " codes, which cannot be loaded for training or evaluation here; "
                      "expected a dense or product-quantized weight"));
}

}  // namespace quantnoise::quant
