#include "quantnoise/train/optimizer.h"

#include <utility>

#include "learn/train/optimizers.h"
#include "learn/train/registry.h"
#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

using Factory = std::unique_ptr<Optimizer> (*)(const OptimizerOptions&);

const Registry<Factory>& registry() {
  static const Registry<Factory> table = {
      "--optimizer", {{"adam", make_adam}, {"adamw", make_adamw}, {"nag", make_nag}, {"sgd", make_sgd}}};
  return table;
}

}  // namespace

void Optimizer::bind(std::vector<quant::NamedParameter> parameters) {
  std::map<std::string, at::Tensor> former;
  for (const auto& [name, tensor] : parameters_) former.emplace(name, tensor);
  std::map<std::string, TensorState> kept;
  for (const auto& [name, tensor] : parameters) {
    const auto same = former.find(name);
    if (same == former.end() || !same->second.is_same(tensor)) continue;
    const auto state = state_.find(name);
    if (state != state_.end()) kept.insert(state_.extract(state));
  }
  state_ = std::move(kept);
  parameters_ = std::move(parameters);
}

void Optimizer::step(double gradient_scale) {
  const torch::NoGradGuard no_grad;
  std::vector<Item> items;
  items.reserve(parameters_.size());
  for (const auto& [name, tensor] : parameters_) {
    const at::Tensor& gradient = tensor.grad();
    if (gradient.defined()) items.push_back({tensor, gradient, &state_[name]});
  }
  if (!items.empty()) update(items, gradient_scale);
}

void Optimizer::scale_gradients(std::vector<Item>& items, double gradient_scale) {
  if (gradient_scale == 1) return;
  std::vector<at::Tensor> gradients;
  gradients.reserve(items.size());
  for (const Item& item : items) gradients.push_back(item.gradient);
  at::_foreach_mul_(gradients, gradient_scale);
}

void Optimizer::zero_grad() {
  for (const auto& [name, tensor] : parameters_) tensor.mutable_grad().reset();
}

std::map<std::string, at::Tensor> Optimizer::state() const {
  std::map<std::string, at::Tensor> flat;
  for (const auto& [name, tensors] : state_) {
    for (const auto& [key, tensor] : tensors) flat.emplace(name + "/" + key, tensor);
  }
  return flat;
}

void Optimizer::load_state(const std::map<std::string, at::Tensor>& state) {
  std::map<std::string, at::Tensor> known;
  for (const auto& [name, tensor] : parameters_) known.emplace(name, tensor);
  std::map<std::string, TensorState> loaded;
  for (const auto& [path, tensor] : state) {
    const size_t slash = path.rfind('/');
    const auto parameter = known.find(path.substr(0, slash));
    QN_REQUIRE(slash != std::string::npos && parameter != known.end(), ErrorKind::kFormat,
               "optimizer state '", path, "' belongs to no tensor of the model");
    QN_REQUIRE(tensor.dim() == 0 || tensor.sizes() == parameter->second.sizes(), ErrorKind::kFormat,
               "optimizer state '", path, "' has the shape ", tensor.sizes(), ", expected ",
               parameter->second.sizes());
    loaded[parameter->first][path.substr(slash + 1)] = tensor.clone();
  }
  state_ = std::move(loaded);
}

OptimizerOptions optimizer_options(const config::OptionValues& values) {
  OptimizerOptions options;
  const std::vector<double>& lrs = values.get_float_list("lr");
  QN_REQUIRE(!lrs.empty(), ErrorKind::kConfig, "--lr needs at least one number");
  options.initial_lr = lrs.front();
  const std::vector<double>& betas = values.get_float_list("adam-betas");
  QN_REQUIRE(betas.size() == 2 && betas[0] < 1 && betas[1] < 1, ErrorKind::kConfig, "--adam-betas is '",
             values.text("adam-betas"), "', expected two numbers from 0 to below 1");
  options.beta1 = betas[0];
  options.beta2 = betas[1];
  options.eps = values.get_float("adam-eps");
  if (values.has_value("momentum")) options.momentum = values.get_float("momentum");
  options.weight_decay = values.get_float("weight-decay");
  return options;
}

std::vector<std::string> optimizer_names() { return registry().names(); }

std::unique_ptr<Optimizer> make_optimizer(const std::string& name, const OptimizerOptions& options) {
  std::unique_ptr<Optimizer> optimizer = registry().find(name)(options);
  optimizer->set_lr(options.initial_lr);
  return optimizer;
}

}  // namespace quantnoise::train
