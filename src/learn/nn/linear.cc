#include "quantnoise/nn/linear.h"

#include <cmath>

#include "quantnoise/base/error.h"
#include "quantnoise/nn/functional.h"

namespace quantnoise::nn {

LinearImpl::LinearImpl(const LinearOptions& options) : options_(options) {
  QN_REQUIRE(options_.in_features() > 0 && options_.out_features() > 0, ErrorKind::kConfig, "Linear: found ",
             options_.in_features(), " inputs and ", options_.out_features(),
             " outputs, expected at least 1 of each");
  at::Tensor weight = at::empty({options_.out_features(), options_.in_features()}, at::kFloat);
  torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
  set_slot(std::make_shared<quant::WeightSlot>(quant::make_dense(weight)));
  if (!options_.bias()) return;
  const double bound = 1.0 / std::sqrt(static_cast<double>(options_.in_features()));
  bias_ =
      register_parameter("bias", at::empty({options_.out_features()}, at::kFloat).uniform_(-bound, bound));
}

at::Tensor LinearImpl::product(const at::Tensor& input) {
  return slot_linear(input, slot(), bias_, is_training());
}

at::Tensor LinearImpl::activated(const at::Tensor& input, Activation activation, double p,
                                 const base::RandomStream& stream) {
  if (p != 0) return activate_dropout(forward(input), activation, p, stream);
  return slot_linear(quantized(input), slot(), bias_, is_training(), activation);
}

std::map<std::string, std::string> LinearImpl::attributes() const {
  return {{"in_features", std::to_string(options_.in_features())},
          {"out_features", std::to_string(options_.out_features())}};
}

at::Tensor LinearImpl::weight() const { return dense_weight(); }

at::Tensor TransposedLinearImpl::forward(const at::Tensor& input) {
  return slot_linear_transposed(quantized(input), slot(), is_training());
}

std::map<std::string, std::string> TransposedLinearImpl::attributes() const {
  const quant::MatrixShape matrix = quant::matrix_shape(slot()->representation().shape());
  return {{"in_features", std::to_string(matrix.rows)}, {"out_features", std::to_string(matrix.cols)}};
}

}  // namespace quantnoise::nn
