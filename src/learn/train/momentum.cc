// Optimizers with one momentum buffer.
#include <bit>

#include "learn/train/optimizers.h"

namespace quantnoise::train {
namespace {

class Nag : public Optimizer {
 public:
  explicit Nag(const OptimizerOptions& options)
      : momentum_(options.momentum < 0 ? 0.99 : options.momentum),
        weight_decay_(options.weight_decay),
        initial_lr_(options.initial_lr) {}

  std::string name() const override { return "nag"; }

 protected:
  void update(std::vector<Item>& items, double gradient_scale) override {
    scale_gradients(items, gradient_scale);
    for (Item& item : items) {
      TensorState& state = *item.state;
      if (state.empty()) {
        state["momentum_buffer"] = at::zeros_like(item.parameter);
        state[kFormerLr] = exact(initial_lr_);
      }
      const auto lr_old = std::bit_cast<double>(state[kFormerLr].item<int64_t>());
      const double correction = lr_old > 0 ? lr() / lr_old : lr();
      at::Tensor& buffer = state["momentum_buffer"];
      if (weight_decay_ != 0) item.parameter.mul_(1 - lr() * weight_decay_);
      item.parameter.add_(buffer, momentum_ * momentum_ * correction);
      item.parameter.add_(item.gradient, -(1 + momentum_) * lr());
      buffer.mul_(momentum_ * correction).add_(item.gradient, -lr());
      state[kFormerLr] = exact(lr());
    }
  }

 private:
  static constexpr const char* kFormerLr = "lr_old_bits";

  /// A double in a tensor type that files hold: its bits, so that a resumed run sees the very number.
  static at::Tensor exact(double value) { return at::full({}, std::bit_cast<int64_t>(value), at::kLong); }

  double momentum_;
  double weight_decay_;
  double initial_lr_;
};

class Sgd : public Optimizer {
 public:
  explicit Sgd(const OptimizerOptions& options)
      : momentum_(options.momentum < 0 ? 0 : options.momentum), weight_decay_(options.weight_decay) {}

  std::string name() const override { return "sgd"; }

 protected:
  void update(std::vector<Item>& items, double gradient_scale) override {
    scale_gradients(items, gradient_scale);
    for (Item& item : items) {
      at::Tensor direction = item.gradient;
      if (weight_decay_ != 0) direction = direction.add(item.parameter, weight_decay_);
      if (momentum_ != 0) {
        at::Tensor& buffer = (*item.state)["momentum_buffer"];
        buffer = buffer.defined() ? buffer.mul_(momentum_).add_(direction) : direction.clone();
        direction = buffer;
      }
      item.parameter.add_(direction, -lr());
    }
  }

 private:
  double momentum_;
  double weight_decay_;
};

}  // namespace

std::unique_ptr<Optimizer> make_nag(const OptimizerOptions& options) {
  return std::make_unique<Nag>(options);
}
std::unique_ptr<Optimizer> make_sgd(const OptimizerOptions& options) {
  return std::make_unique<Sgd>(options);
}

}  // namespace quantnoise::train
