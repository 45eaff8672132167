#include <cmath>
#include <map>
#include <optional>

#include "learn/train/optimizers.h"

namespace quantnoise::train {
namespace {

/// Both Adams on torch's fused kernel.
class Adam : public Optimizer {
 public:
  Adam(const OptimizerOptions& options, bool eps_after_correction)
      : options_(options), eps_after_correction_(eps_after_correction) {}

  std::string name() const override { return eps_after_correction_ ? "adamw" : "adam"; }

 protected:
  void update(std::vector<Item>& items, double gradient_scale) override {
    // Tensors that joined later (after an exchange) count their own steps; eps may depend on the count.
    std::map<int64_t, Group> groups;
    for (Item& item : items) {
      const int64_t step = prepare(item);
      Group& group = groups[eps_after_correction_ ? 0 : step];
      group.step = step;
      group.parameters.push_back(item.parameter);
      group.gradients.push_back(item.gradient);
      group.averages.push_back((*item.state)["exp_avg"]);
      group.squares.push_back((*item.state)["exp_avg_sq"]);
      group.steps.push_back((*item.state)["step"]);
    }
    for (auto& [key, group] : groups) run(group, gradient_scale);
  }

 private:
  struct Group {
    int64_t step = 0;
    std::vector<at::Tensor> parameters, gradients, averages, squares, steps;
  };

  /// Makes missing state; counts and returns the step, from 1.
  static int64_t prepare(const Item& item) {
    TensorState& state = *item.state;
    if (state.empty()) {
      state["exp_avg"] = at::zeros_like(item.parameter);
      state["exp_avg_sq"] = at::zeros_like(item.parameter);
      state["step"] = at::zeros({}, at::kFloat);
    }
    return std::lround(state["step"].add_(1).item<float>());
  }

  void run(Group& group, double gradient_scale) const {
    double eps = options_.eps;
    if (!eps_after_correction_) {
      // lr·√(1−β2^t)/(1−β1^t) · m/(√v + ε) is AdamW's step with ε/√(1−β2^t).
      eps /= std::sqrt(1 - std::pow(options_.beta2, static_cast<double>(group.step)));
    }
    // The kernel divides by it.
    std::optional<at::Tensor> divisor;
    if (gradient_scale != 1) divisor = at::scalar_tensor(1 / gradient_scale, at::kFloat);
    at::_fused_adamw_(group.parameters, group.gradients, group.averages, group.squares,
                      /*max_exp_avg_sqs=*/{}, group.steps, lr(), options_.beta1, options_.beta2,
                      options_.weight_decay, eps,
                      /*amsgrad=*/false, /*maximize=*/false, divisor);
  }

  OptimizerOptions options_;
  bool eps_after_correction_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(const OptimizerOptions& options) {
  return std::make_unique<Adam>(options, true);
}
std::unique_ptr<Optimizer> make_adam(const OptimizerOptions& options) {
  return std::make_unique<Adam>(options, false);
}

}  // namespace quantnoise::train
