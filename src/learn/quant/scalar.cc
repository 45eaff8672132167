#include "quantnoise/quant/scalar.h"

#include <algorithm>
#include <unordered_set>

#include "learn/quant/plan_table.h"
#include "learn/quant/product_representation.h"
#include "learn/quant/scalar_representation.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/log.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::quant {

namespace {

bool has_channels(const ScalarOptions& options) {
  return options.observer == codec::Observer::kChannel || options.observer == codec::Observer::kChannelL2;
}

ScalarPlanEntry make_entry(const NamedSlot& slot, const ScalarOptions& options) {
  const Representation& representation = slot.slot->representation();
  ScalarPlanEntry entry{slot.name,
                        slot.aliases,
                        slot.owner->layer_type(),
                        representation.shape(),
                        representation.stored_bytes(),
                        0};
  codec::PackedWeight packed;
  packed.scheme = codec::Scheme::kAffine;
  packed.shape = entry.shape;
  packed.code_bits = options.bits;
  packed.scales.resize(has_channels(options) ? static_cast<size_t>(entry.shape[0]) : 1);
  packed.zero_points.resize(packed.scales.size());
  entry.bytes_after = packed.stored_bytes();
  return entry;
}

double relative_error(const at::Tensor& parameter, const codec::AffineGrid& grid) {
  const at::Tensor weight = parameter.detach().to(at::kCPU).contiguous();
  const double energy = weight.square().sum(at::kDouble).item<double>();
  if (energy == 0) return 0;
  return codec::affine_squared_error({weight.const_data_ptr<float>(), static_cast<size_t>(weight.numel())},
                                     weight.sizes(), grid, torch_parallel_for()) /
         energy;
}

bool same(const codec::AffineGrid& a, const codec::AffineGrid& b) {
  return a.bits == b.bits && a.axis == b.axis && a.scales == b.scales && a.zero_points == b.zero_points;
}

struct Exchange {
  std::shared_ptr<WeightSlot> slot;
  std::shared_ptr<ScalarRepresentation> next;
};

// The slot's weight under the plan's options; a representation of its own, so that nothing changes yet.
std::shared_ptr<ScalarRepresentation> planned(const Representation& old, const ScalarOptions& options,
                                              FittingGrids fitting) {
  const auto* scalar = dynamic_cast<const ScalarRepresentation*>(&old);
  if (scalar == nullptr || fitting == FittingGrids::kAnew) {
    return std::make_shared<ScalarRepresentation>(old.parameter(), options, old.zero_row());
  }
  auto next = std::make_shared<ScalarRepresentation>(*scalar);
  next->configure(options);
  return next;
}

}  // namespace

std::vector<std::string> ScalarPlan::names() const {
  std::vector<std::string> names;
  for (const ScalarPlanEntry& layer : layers) names.push_back(layer.name);
  return names;
}

std::string ScalarPlan::scheme_text() const {
  return str_cat("int", options.bits, ", ", codec::observer_name(options.observer));
}

std::string ScalarPlan::text() const {
  std::vector<TableRow> rows = {{"layer", "type", "shape", "bits", "bytes before", "bytes after"}};
  int64_t before = 0;
  int64_t after = 0;
  rows.push_back({str_cat(scheme_text(), ": ", layers.size(), " layers")});
  for (const ScalarPlanEntry& entry : layers) {
    rows.push_back({"  " + tied_names(entry.name, entry.aliases), entry.layer_type, shape_text(entry.shape),
                    std::to_string(options.bits), std::to_string(entry.bytes_before),
                    std::to_string(entry.bytes_after)});
    before += entry.bytes_before;
    after += entry.bytes_after;
  }
  rows.push_back({"quantized", "", "", "", std::to_string(before), std::to_string(after)});
  rows.push_back({"stays as it is:"});
  const int64_t rest = append_others(others, rows.front().size(), rows);
  rows.push_back({"all", "", "", "", std::to_string(before + rest), std::to_string(after + rest)});
  return aligned(rows);
}

ScalarPlan plan_scalar(torch::nn::Module& model, const ScalarOptions& options, const LayerFilter& filter) {
  check_scalar(options, "model");
  const std::vector<NamedSlot> slots = named_slots(model);
  filter.require_matches(slots);
  ScalarPlan plan;
  plan.options = options;
  std::unordered_set<const at::TensorImpl*> tensors;
  for (const NamedSlot& slot : slots) {
    if (!holds_weight(slot.slot->representation()) || !filter(slot)) continue;
    plan.layers.push_back(make_entry(slot, options));
    tensors.insert(slot.slot->representation().parameter().unsafeGetTensorImpl());
  }
  plan.others = list_others(model, tensors);
  return plan;
}

std::vector<ScalarLayer> quantize_scalar(torch::nn::Module& model, const ScalarPlan& plan,
                                         FittingGrids fitting) {
  const std::vector<NamedSlot> slots = named_slots(model);
  std::vector<Exchange> exchanges;
  std::vector<ScalarLayer> layers;
  for (const ScalarPlanEntry& entry : plan.layers) {
    const auto found = std::find_if(slots.begin(), slots.end(),
                                    [&](const NamedSlot& slot) { return slot.name == entry.name; });
    QN_REQUIRE(found != slots.end(), ErrorKind::kConfig, "layer ", entry.name,
               " of the plan is not in the model");
    const Representation& old = found->slot->representation();
    QN_REQUIRE(holds_weight(old), ErrorKind::kConfig, "layer ", entry.name, ": found scheme ", old.scheme(),
               ", expected a dense or an int-N weight");
    try {
      exchanges.push_back({found->slot, planned(old, plan.options, fitting)});
    } catch (Error& error) {
      throw error.in("layer " + entry.name);
    }
    const at::Tensor parameter = old.parameter();
    const codec::AffineGrid& grid = exchanges.back().next->scalar_grid().grid();
    const auto* scalar = dynamic_cast<const ScalarRepresentation*>(&old);
    layers.push_back({entry.name, parameter.numel(), relative_error(parameter, grid),
                      scalar != nullptr && same(scalar->scalar_grid().grid(), grid)});
  }
  // Only now is the model touched.
  for (Exchange& exchange : exchanges) exchange.slot->exchange(std::move(exchange.next));
  return layers;
}

double mean_relative_error(const std::vector<ScalarLayer>& layers) {
  double error = 0;
  double numel = 0;
  for (const ScalarLayer& layer : layers) {
    error += layer.relative_error * static_cast<double>(layer.numel);
    numel += static_cast<double>(layer.numel);
  }
  return numel > 0 ? error / numel : 0;
}

int set_centroid_type(torch::nn::Module& model, codec::ScalarType type) {
  int changed = 0;
  for (const NamedSlot& slot : named_slots(model)) {
    auto* product = dynamic_cast<ProductRepresentation*>(&slot.slot->representation());
    if (product == nullptr || product->centroid_type() == type) continue;
    product->set_centroid_type(type);
    slot.slot->release_cache();
    ++changed;
  }
  return changed;
}

namespace scalar {

std::vector<std::string> quantize_model_(torch::nn::Module& model, double p, const ScalarOptions& options,
                                         const ActivationOptions& inputs) {
  const ScalarPlan plan = plan_scalar(model, options);
  NoiseOptions noise;
  noise.scalar_probability = p;
  check_noise(noise, 1, "model");
  check_activations(inputs, "model");
  quantize_scalar(model, plan);
  quantize_activations(model, inputs);
  for (const NamedSlot& slot : named_slots(model)) {
    if (!slot.slot->representation().takes_scalar_noise()) continue;
    noise = slot.slot->noise();
    noise.scalar_probability = p;
    slot.slot->set_noise(noise);
  }
  base::log(base::LogLevel::kInfo, plan.text());
  return plan.names();
}

}  // namespace scalar

}  // namespace quantnoise::quant
