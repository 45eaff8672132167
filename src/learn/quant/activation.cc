#include "quantnoise/quant/activation.h"

#include <array>

#include "quantnoise/base/error.h"
#include "quantnoise/codec/affine_noise.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::quant {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::array<std::pair<ActivationMode, const char*>, 3> kModes = {
    {{ActivationMode::kNone, "none"},
     {ActivationMode::kStatic, "static"},
     {ActivationMode::kDynamic, "dynamic"}}};

// inside: bool, where gradients pass; undefined: everywhere.
struct StraightThrough : public torch::autograd::Function<StraightThrough> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& value,
                            const std::optional<at::Tensor>& inside) {
    if (inside) context->save_for_backward({*inside});
    context->saved_data["type"] = x.scalar_type();
    return value.variable_data();
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    at::Tensor gradient = grads[0].to(context->saved_data["type"].toScalarType());
    if (!saved.empty()) gradient = gradient.mul(saved[0]);
    return {gradient, at::Tensor(), at::Tensor()};
  }
};

std::span<const float> floats(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}
const uint16_t* halves(const at::Tensor& tensor) {
  return reinterpret_cast<const uint16_t*>(tensor.const_data_ptr<at::BFloat16>());
}
bool is_half(const at::Tensor& tensor) { return tensor.scalar_type() == at::kBFloat16; }

template <typename In, typename Out>
void apply_noise(const codec::AffineNoiseSpec& spec, const codec::AffineGrid& grid, const In* in,
                 std::span<const int64_t> shape, std::span<Out> out) {
  const base::ParallelFor& parallel_for = torch_parallel_for();
  if (spec.probability < 1) return codec::apply_affine_noise(spec, grid, in, shape, out.data(), parallel_for);
  // The same without drawing.
  codec::fake_quantize(std::span<const In>(in, out.size()), shape, grid, out, parallel_for);
}

// As noise of a weight of this shape; in: contiguous, on the CPU. The result has the compute type.
at::Tensor apply_noise(const at::Tensor& in, const codec::AffineNoiseSpec& spec,
                       const codec::AffineGrid& grid, std::span<const int64_t> shape) {
  const bool to_half = compute_type() == at::kBFloat16;
  at::Tensor out = at::empty(in.sizes(), to_half ? at::kBFloat16 : at::kFloat);
  const auto count = static_cast<size_t>(out.numel());
  if (!to_half) {
    apply_noise(spec, grid, in.const_data_ptr<float>(), shape,
                std::span(out.mutable_data_ptr<float>(), count));
    return out;
  }
  const std::span bits(reinterpret_cast<uint16_t*>(out.mutable_data_ptr<at::BFloat16>()), count);
  if (is_half(in)) {
    apply_noise(spec, grid, halves(in), shape, bits);
  } else {
    apply_noise(spec, grid, in.const_data_ptr<float>(), shape, bits);
  }
  return out;
}

at::Tensor on_cpu(const at::Tensor& x) { return x.detach().to(at::kCPU).contiguous(); }

}  // namespace

ActivationMode parse_activation_mode(const std::string& name) {
  for (const auto& [mode, known] : kModes) {
    if (name == known) return mode;
  }
  throw Error(ErrorKind::kConfig,
              str_cat("activation mode: found '", name, "', expected none, static or dynamic"));
}

std::string activation_mode_name(ActivationMode mode) {
  for (const auto& [known, name] : kModes) {
    if (mode == known) return name;
  }
  QN_INVARIANT(false);
}

void check_activations(const ActivationOptions& options, const std::string& name) {
  QN_REQUIRE(options.bits >= 2 && options.bits <= 8, ErrorKind::kConfig, "input of '", name, "': found ",
             options.bits, " bits, expected 2 to 8");
  QN_REQUIRE(options.observer == codec::Observer::kHistogram || options.observer == codec::Observer::kTensor,
             ErrorKind::kConfig, "input of '", name, "': found observer ",
             codec::observer_name(options.observer), ", expected histogram or tensor");
  QN_REQUIRE(options.probability >= 0 && options.probability <= 1, ErrorKind::kConfig, "input of '", name,
             "': found probability ", options.probability, ", expected 0 to 1");
}

void ActivationQuantizer::set_name(std::string name) {
  name_ = std::move(name);
  name_hash_ = base::hash_name(name_ + ".input");
}

void ActivationQuantizer::set_options(const ActivationOptions& options) {
  check_activations(options, name_);
  const bool keeps_range = options.mode == options_.mode && options.bits == options_.bits;
  const bool keeps_observer = keeps_range && options.observer == options_.observer;
  options_ = options;
  if (!keeps_range) grid_.reset();
  if (keeps_observer) return;
  observer_.reset();
  so_far_.reset();
  calibration_ = Calibration::kOff;
}

at::Tensor ActivationQuantizer::apply(const at::Tensor& x, bool training) {
  if (!active() || x.numel() == 0) return x;
  if (options_.mode == ActivationMode::kDynamic) {
    return training && options_.probability == 0 ? x : quantized_rows(x, training);
  }
  const bool observes = calibration_ == (training ? Calibration::kTraining : Calibration::kEvaluation);
  if (observes) observe(x);
  if (observes && !training) return x;
  const std::optional<codec::AffineGrid> grid = training ? grid_ : this->grid();
  if (!grid || (training && options_.probability == 0 && !options_.clipped)) return x;
  return quantized(x, *grid, training);
}

codec::AffineNoiseSpec ActivationQuantizer::noise_spec(bool training) const {
  const NoiseClock& clock = noise_clock();
  codec::AffineNoiseSpec spec;
  spec.probability = training ? options_.probability : 1.0;
  spec.stream = base::RandomStream(clock.seed, name_hash_, clock.update, clock.micro_batch);
  return spec;
}

at::Tensor ActivationQuantizer::quantized(const at::Tensor& x, const codec::AffineGrid& grid,
                                          bool training) const {
  std::optional<at::Tensor> inside;
  const at::Tensor value = [&] {
    const at::NoGradGuard no_grad;
    at::Tensor in = on_cpu(x);
    if (is_half(in) && compute_type() == at::kFloat) in = in.to(at::kFloat);
    if (training && options_.clipped) {
      const codec::AffineRange range = grid.range(0);
      inside = in.ge(range.min).logical_and_(in.le(range.max)).to(x.device());
      in = in.clamp(range.min, range.max);
    }
    return apply_noise(in, noise_spec(training), grid, {{in.numel()}}).to(x.device());
  }();
  return StraightThrough::apply(x, value, inside);
}

at::Tensor ActivationQuantizer::quantized_rows(const at::Tensor& x, bool training) const {
  const at::Tensor value = [&] {
    const at::NoGradGuard no_grad;
    const at::Tensor in = on_cpu(x).to(at::kFloat);
    const int64_t cols = in.size(-1), rows = in.numel() / cols;
    try {
      if (training && options_.probability < 1) {
        const codec::ObserveOptions by_row{codec::Observer::kChannel, options_.bits, /*symmetric=*/false,
                                           /*axis=*/0};
        const codec::AffineGrid grid =
            codec::observe_weight(floats(in), {{rows, cols}}, by_row, torch_parallel_for());
        return apply_noise(in, noise_spec(training), grid, {{rows, cols}});
      }
      at::Tensor out = at::empty_like(in);
      codec::fake_quantize_rows(floats(in), rows, cols, options_.bits, /*symmetric=*/false,
                                {out.mutable_data_ptr<float>(), static_cast<size_t>(out.numel())},
                                torch_parallel_for());
      return out.to(compute_type());
    } catch (Error& error) {
      throw error.in("the input of layer " + name_);
    }
  }();
  return StraightThrough::apply(x, value.to(x.device()), std::nullopt);
}

void ActivationQuantizer::observe(const at::Tensor& x) {
  const at::Tensor in = on_cpu(x).to(at::kFloat);
  so_far_.reset();
  try {
    observer_->observe(floats(in), torch_parallel_for());
  } catch (Error& error) {
    throw error.in("the input of layer " + name_);
  }
}

void ActivationQuantizer::start_calibration(Calibration calibration) {
  calibration_ = options_.mode == ActivationMode::kStatic ? calibration : Calibration::kOff;
  observer_.reset();
  so_far_.reset();
  if (calibration_ != Calibration::kOff) observer_.emplace(options_.observer);
}

void ActivationQuantizer::finish_calibration() {
  if (calibration_ == Calibration::kOff) return;
  if (!observer_->empty()) grid_ = observer_->grid(options_.bits, /*symmetric=*/false);
  calibration_ = Calibration::kOff;
  observer_.reset();
  so_far_.reset();
}

std::optional<codec::AffineGrid> ActivationQuantizer::grid() const {
  if (options_.mode != ActivationMode::kStatic) return std::nullopt;
  if (grid_ || !observer_ || observer_->empty()) return grid_;
  if (!so_far_) so_far_ = observer_->grid(options_.bits, /*symmetric=*/false);
  return so_far_;
}

void ActivationQuantizer::set_grid(const codec::AffineGrid& grid) {
  QN_REQUIRE(
      options_.mode == ActivationMode::kStatic && grid.axis < 0 && grid.bits == options_.bits,
      ErrorKind::kConfig, "input of '", name_, "': found a range of ", grid.bits, " bits, expected ",
      options_.mode == ActivationMode::kStatic ? str_cat(options_.bits, " for the whole input") : "none");
  codec::check_affine_grid(grid, {{1}}, ErrorKind::kConfig);
  start_calibration(Calibration::kOff);
  grid_ = grid;
}

}  // namespace quantnoise::quant
