#pragma once
// Optimizers on the unique parameters of a model. Their state is keyed by canonical name, so that an exchange
// of one weight's representation drops the state of that tensor alone, and checkpoints can name it.

#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "quantnoise/config/options.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::train {

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  virtual std::string name() const = 0;
  /// Takes these parameters from now on. State of names whose tensor is the same as before is kept, other
  /// state dropped.
  void bind(std::vector<quant::NamedParameter> parameters);
  const std::vector<quant::NamedParameter>& parameters() const { return parameters_; }

  void set_lr(double lr) { lr_ = lr; }
  double lr() const { return lr_; }

  /// One update with the parameters' gradients, which are multiplied by `gradient_scale` on the way and stay
  /// so; tensors without a gradient are left alone.
  void step(double gradient_scale = 1);
  /// Forgets all gradients.
  void zero_grad();

  /// State as tensors ("decoder.layers.0.fc1.weight/exp_avg") for checkpoints; shared, not copied.
  std::map<std::string, at::Tensor> state() const;
  /// Takes copies. Errors: kFormat for state of a tensor there is not, or of another shape.
  void load_state(const std::map<std::string, at::Tensor>& state);

 protected:
  /// Named fp32 tensors beside one parameter: moments (of its shape) and counters (scalars).
  using TensorState = std::map<std::string, at::Tensor>;
  struct Item {
    at::Tensor parameter;
    at::Tensor gradient;
    TensorState* state;
  };

  /// Called with the parameters that have a gradient, in their order; under NoGradGuard. A new tensor's state
  /// is empty. The gradients are still to be scaled (scale_gradients, or in the same pass).
  virtual void update(std::vector<Item>& items, double gradient_scale) = 0;
  static void scale_gradients(std::vector<Item>& items, double gradient_scale);

 private:
  std::vector<quant::NamedParameter> parameters_;
  std::map<std::string, TensorState> state_;
  double lr_ = 0;
};

/// Hyper-parameters of all optimizers.
struct OptimizerOptions {
  double initial_lr = 0.25;  ///< first of the learning rates given (NAG starts from it)
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double momentum = -1;  ///< negative: the optimizer's default
  double weight_decay = 0;
};
/// Errors: kConfig for adam-betas that are not two numbers below 1.
OptimizerOptions optimizer_options(const config::OptionValues& values);

/// Names for --optimizer.
std::vector<std::string> optimizer_names();
/// Errors: kConfig for an unknown name, with those there are.
std::unique_ptr<Optimizer> make_optimizer(const std::string& name, const OptimizerOptions& options);

}  // namespace quantnoise::train
