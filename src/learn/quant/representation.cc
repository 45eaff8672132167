#include "quantnoise/quant/representation.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "learn/quant/dense_representation.h"
#include "learn/quant/product_representation.h"
#include "learn/quant/scalar_representation.h"
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
  auto representation = std::make_unique<DenseRepresentation>(std::move(weight), zero_row);
  representation->parameter().set_requires_grad(true);
  return representation;
}

void check_scalar(const ScalarOptions& options, const std::string& name) {
  QN_REQUIRE(options.bits >= 2 && options.bits <= 8, ErrorKind::kConfig, "scalar quantization of '", name,
             "': found ", options.bits, " bits, expected 2 to 8");
  QN_REQUIRE(options.update_step >= 1, ErrorKind::kConfig, "scalar quantization of '", name,
             "': found an update step of ", options.update_step, ", expected at least 1");
}

NoiseOptions Representation::effective(NoiseOptions noise) const {
  if (!takes_block_noise()) noise.kind = NoiseKind::kNone;
  if (!takes_scalar_noise()) noise.scalar_probability = 0;
  return noise;
}

std::unique_ptr<Representation> make_scalar(at::Tensor weight, const ScalarOptions& options,
                                            int64_t zero_row) {
  check_scalar(options, "weight");
  auto representation = std::make_unique<ScalarRepresentation>(std::move(weight), options, zero_row);
  representation->parameter().set_requires_grad(true);
  return representation;
}

std::unique_ptr<Representation> make_product(codec::ProductMatrix matrix, std::vector<int64_t> shape,
                                             codec::CentroidGradient gradient, int64_t zero_row,
                                             codec::ScalarType centroid_type) {
  return std::make_unique<ProductRepresentation>(std::move(matrix), std::move(shape), gradient, zero_row,
                                                 centroid_type);
}

namespace {

at::Tensor dense_tensor(const codec::PackedWeight& packed) {
  const std::vector<float> values = codec::unpack_to_float(packed);
  at::Tensor weight = at::empty(packed.shape, at::kFloat);
  std::copy(values.begin(), values.end(), weight.mutable_data_ptr<float>());
  return weight;
}

std::unique_ptr<Representation> scalar_from_packed(const codec::PackedWeight& packed) {
  const codec::AffineGrid grid{packed.code_bits, packed.affine_axis, packed.scales, packed.zero_points};
  ScalarOptions options;
  options.bits = grid.bits;
  if (grid.axis >= 0) options.observer = codec::Observer::kChannel;
  auto representation =
      std::make_unique<ScalarRepresentation>(dense_tensor(packed), grid, options, packed.zero_row);
  representation->parameter().set_requires_grad(true);
  return representation;
}

}  // namespace

std::unique_ptr<Representation> from_packed(const codec::PackedWeight& packed,
                                            codec::CentroidGradient gradient) {
  switch (packed.scheme) {
    case codec::Scheme::kDense:
      return make_dense(dense_tensor(packed), packed.zero_row);
    case codec::Scheme::kProduct:
      return make_product(codec::unpack_product(packed), packed.shape, gradient, packed.zero_row,
                          packed.centroid_type);
    case codec::Scheme::kAffine:
      return scalar_from_packed(packed);
  }
  QN_INVARIANT(false);
}

}  // namespace quantnoise::quant
