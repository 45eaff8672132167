#include "learn/train/nonfinite.h"

#include <ATen/record_function.h>

#include <unordered_map>

#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

bool all_finite(const at::Tensor& tensor) { return at::isfinite(tensor.detach()).all().item<bool>(); }

bool is_bad(const at::Tensor& tensor) {
  return tensor.defined() && tensor.is_floating_point() && tensor.numel() > 0 && !all_finite(tensor);
}

/// What the watcher of this thread has seen; callbacks of torch carry no state of ours.
struct Watch {
  std::unordered_map<const void*, std::string> layer_of;  // weight data → layer
  std::string layer;                                      // whose weight was used last, with good results
  std::string fault;
};
thread_local Watch* current_watch = nullptr;

std::string layer_name(const std::string& parameter) {
  const size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? parameter : parameter.substr(0, dot);
}

/// What is known of a call before it runs; torch keeps its arguments no longer.
struct CallInputs : public at::ObserverContext {
  std::string layer;  // whose weight is among them; empty: none
  bool is_bad = false;
};

std::unique_ptr<at::ObserverContext> look_at_inputs(const at::RecordFunction& call) {
  const Watch* watch = current_watch;
  if (watch == nullptr || !watch->fault.empty()) return nullptr;
  const at::DisableRecordFunctionGuard no_recursion;
  auto inputs = std::make_unique<CallInputs>();
  for (const c10::IValue& input : call.inputs()) {
    if (!input.isTensor() || !input.toTensor().defined() || !input.toTensor().has_storage()) continue;
    const auto found = watch->layer_of.find(input.toTensor().storage().data());
    if (found != watch->layer_of.end()) inputs->layer = found->second;
  }
  // Other operators are passed over: they may see memory that a fused kernel has yet to write.
  if (inputs->layer.empty()) return nullptr;
  for (const c10::IValue& input : call.inputs()) {
    inputs->is_bad = inputs->is_bad || (input.isTensor() && is_bad(input.toTensor()));
  }
  return inputs;
}

void look_at_results(const at::RecordFunction& call, at::ObserverContext* context) {
  Watch* watch = current_watch;
  const auto* inputs = static_cast<const CallInputs*>(context);
  if (watch == nullptr || inputs == nullptr || !watch->fault.empty()) return;
  const at::DisableRecordFunctionGuard no_recursion;
  bool bad_result = false;
  for (const c10::IValue& output : call.outputs()) {
    bad_result = bad_result || (output.isTensor() && is_bad(output.toTensor()));
  }
  if (inputs->is_bad) {
    watch->fault =
        str_cat("what reaches layer ", inputs->layer, " is not finite",
                watch->layer.empty() ? "" : "; the last good result is that of layer " + watch->layer);
  } else if (bad_result) {
    watch->fault = str_cat("the result of layer ", inputs->layer, " is not finite");
  } else {
    watch->layer = inputs->layer;
  }
}

}  // namespace

std::string first_nonfinite_parameter(const torch::nn::Module& model) {
  for (const auto& [name, tensor] : quant::unique_parameters(model)) {
    if (!all_finite(tensor)) return name;
  }
  return "";
}

std::string first_nonfinite_layer(torch::nn::Module& model, at::ScalarType compute_type,
                                  const std::function<void()>& forward) {
  const torch::NoGradGuard no_grad;
  Watch watch;
  for (const auto& [name, tensor] : quant::unique_parameters(model)) {
    watch.layer_of[tensor.storage().data()] = layer_name(name);
  }
  std::vector<at::Tensor> alive;  // noised and cast copies, as the layers will use them
  for (const quant::NamedSlot& named : quant::named_slots(model)) {
    alive.push_back(named.slot->value(model.is_training(), compute_type));
    watch.layer_of[alive.back().storage().data()] = named.name;
  }
  current_watch = &watch;
  const at::CallbackHandle handle =
      at::addThreadLocalCallback(at::RecordFunctionCallback(look_at_inputs, look_at_results)
                                     .needsInputs(true)
                                     .needsOutputs(true)
                                     .scopes({at::RecordScope::FUNCTION}));
  try {
    forward();
  } catch (const std::exception&) {
    // The search explains another failure; what it stumbles over itself does not matter.
  }
  at::removeCallback(handle);
  current_watch = nullptr;
  if (watch.fault.empty() && !watch.layer.empty())
    return str_cat("the last good result is that of layer ", watch.layer);
  return watch.fault;
}

std::string nonfinite_gradient(const std::vector<quant::NamedParameter>& parameters) {
  for (auto item = parameters.rbegin(); item != parameters.rend(); ++item) {
    const at::Tensor& gradient = item->tensor.grad();
    if (gradient.defined() && !all_finite(gradient)) return item->name;
  }
  return "";
}

}  // namespace quantnoise::train
