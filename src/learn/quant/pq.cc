#include "quantnoise/quant/pq.h"

#include <algorithm>
#include <iomanip>

#include "quantnoise/base/error.h"
#include "quantnoise/base/log.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::quant {

namespace {

struct StageStep {
  std::shared_ptr<WeightSlot> slot;
  std::shared_ptr<Representation> next;
};

// The matrix without its padding row, whose zeros would draw a centroid; the row's codes are never read.
codec::ProductMatrix quantize_without_row(const at::Tensor& weight, int64_t zero_row, int block_size,
                                          const codec::KMeansOptions& options, codec::KMeansReport* report) {
  std::vector<at::Tensor> parts = {weight.slice(0, 0, zero_row), weight.slice(0, zero_row + 1)};
  const at::Tensor kept = at::cat(parts, 0);
  codec::ProductMatrix matrix =
      codec::quantize_product({kept.const_data_ptr<float>(), static_cast<size_t>(kept.numel())}, kept.size(0),
                              kept.size(1), block_size, options, torch_parallel_for(), report);
  const int64_t blocks = matrix.blocks_per_row();
  matrix.codes.insert(matrix.codes.begin() + zero_row * blocks, static_cast<size_t>(blocks), uint16_t{0});
  ++matrix.rows;
  return matrix;
}

codec::ProductMatrix quantize_weight(const at::Tensor& weight, int64_t zero_row, int block_size,
                                     const codec::KMeansOptions& options, codec::KMeansReport* report) {
  if (zero_row >= 0 && weight.size(0) > 1) {
    return quantize_without_row(weight, zero_row, block_size, options, report);
  }
  return codec::quantize_product({weight.const_data_ptr<float>(), static_cast<size_t>(weight.numel())},
                                 weight.size(0), weight.size(1), block_size, options, torch_parallel_for(),
                                 report);
}

QuantizedLayer quantize_layer(const PlanEntry& entry, const PqOptions& options, StageStep& step) {
  const Representation& old = step.slot->representation();
  QN_REQUIRE(holds_weight(old) && old.shape() == entry.shape, ErrorKind::kConfig, "found scheme ",
             old.scheme(), " and shape ", at::IntArrayRef(old.shape()), ", expected a weight of shape ",
             at::IntArrayRef(entry.shape));
  const MatrixShape shape = matrix_shape(entry.shape);
  const at::Tensor weight = old.parameter().detach().to(at::kCPU).contiguous().view({shape.rows, shape.cols});
  codec::KMeansOptions kmeans;
  kmeans.num_centroids = entry.num_centroids;
  kmeans.iterations = options.iterations;
  kmeans.seed = base::mix64(options.seed ^ base::hash_name(entry.name));

  QuantizedLayer layer{entry.name, weight.numel(), entry.block_size, {}, 0};
  codec::ProductMatrix matrix =
      quantize_weight(weight, old.zero_row(), entry.block_size, kmeans, &layer.report);
  const double energy = weight.square().sum(at::kDouble).item<double>();
  if (energy > 0) layer.relative_error = layer.report.objective / energy;
  step.next =
      make_product(std::move(matrix), entry.shape, options.gradient, old.zero_row(), options.centroid_type);
  step.next->parameter().set_data(step.next->parameter().detach().to(old.parameter().device()));
  return layer;
}

void log_layer(const QuantizedLayer& layer, const PlanEntry& entry) {
  std::ostringstream line;
  line << layer.name << ": " << join(entry.shape, " x ") << " to " << layer.report.num_centroids
       << " centroids of " << layer.block_size << ", relative error " << std::setprecision(3)
       << layer.relative_error << ", " << layer.report.iterations << " iterations";
  if (layer.report.empty_clusters_split > 0)
    line << ", " << layer.report.empty_clusters_split << " clusters split";
  base::log(base::LogLevel::kInfo, line.str());
}

}  // namespace

std::vector<QuantizedLayer> quantize_stage(torch::nn::Module& model, const std::vector<PlanEntry>& stage,
                                           const PqOptions& options) {
  const std::vector<NamedSlot> slots = named_slots(model);
  std::vector<StageStep> steps;
  std::vector<QuantizedLayer> layers;
  for (const PlanEntry& entry : stage) {
    const auto found = std::find_if(slots.begin(), slots.end(),
                                    [&](const NamedSlot& slot) { return slot.name == entry.name; });
    QN_REQUIRE(found != slots.end(), ErrorKind::kConfig, "layer ", entry.name,
               " of the plan is not in the model");
    StageStep& step = steps.emplace_back(StageStep{found->slot, nullptr});
    try {
      layers.push_back(quantize_layer(entry, options, step));
    } catch (Error& error) {
      throw error.in("layer " + entry.name);
    }
    log_layer(layers.back(), entry);
  }
  // Only now is the model touched.
  for (StageStep& step : steps) step.slot->exchange(std::move(step.next));
  return layers;
}

namespace pq {

std::vector<std::string> quantize_model_(torch::nn::Module& model, codec::SizeTracker& size_tracker,
                                         const config::QuantizationConfig& config, int step,
                                         const PqOptions& options) {
  const Plan plan = plan_pq(model, config, options.centroid_type);
  QN_REQUIRE(step >= 0 && step < static_cast<int>(plan.stages.size()), ErrorKind::kConfig,
             "quantization step: found ", step, ", expected 0 to ", static_cast<int>(plan.stages.size()) - 1);
  std::vector<std::string> names;
  for (const QuantizedLayer& layer : quantize_stage(model, plan.stages[step], options)) {
    size_tracker.add_product(layer.numel, layer.block_size, layer.report.num_centroids);
    names.push_back(layer.name);
  }
  return names;
}

}  // namespace pq

}  // namespace quantnoise::quant
