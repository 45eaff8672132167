#include "learn/train/stages.h"

#include <nlohmann/json.hpp>

#include "quantnoise/base/error.h"
#include "quantnoise/quant/slot.h"
#include "quantnoise/train/model_io.h"

namespace quantnoise::train {
namespace {

nlohmann::ordered_json to_object(const config::LayerParameters& parameters) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const auto& [layer_type, parameter] : parameters) {
    nlohmann::ordered_json values = nlohmann::ordered_json::object();
    for (const auto& [name, number] : parameter.values) values[name] = number;
    object[layer_type] = {{"key", parameter.key}, {"value", values}};
  }
  return object;
}

std::string to_json(const config::QuantizationConfig& config) {
  return nlohmann::ordered_json{{"n_centroids", to_object(config.n_centroids)},
                                {"block_sizes", to_object(config.block_sizes)},
                                {"layers_to_quantize", config.layers_to_quantize}}
      .dump();
}

}  // namespace

StageSchedule StageSchedule::make(int64_t num_stages, int64_t max_epoch, int64_t max_update) {
  QN_REQUIRE(num_stages > 0, ErrorKind::kConfig,
             "the quantization configuration has no stages (layers_to_quantize)");
  QN_REQUIRE((max_epoch > 0) != (max_update > 0), ErrorKind::kConfig,
             "quantization by stages needs exactly one of --max-epoch and --max-update; found --max-epoch ",
             max_epoch, " and --max-update ", max_update, " (0: not given)");
  const bool by_update = max_update > 0;
  const int64_t limit = by_update ? max_update : max_epoch;
  const char* option = by_update ? "--max-update" : "--max-epoch";
  const int64_t lower = limit - limit % num_stages;
  if (limit % num_stages != 0) {
    throw Error(
        ErrorKind::kConfig,
        str_cat(option, " ", limit, " cannot be shared out among ", num_stages,
                " stages: it is not a multiple of ", num_stages),
        str_cat(option, " ", lower > 0 ? str_cat(lower, " or ") : "", lower + num_stages, " would do"));
  }
  StageSchedule schedule;
  schedule.num_stages = num_stages;
  (by_update ? schedule.updates_per_stage : schedule.epochs_per_stage) = limit / num_stages;
  return schedule;
}

int64_t StageSchedule::shares_over(int64_t num_updates, int64_t epochs_done) const {
  return updates_per_stage > 0 ? num_updates / updates_per_stage : epochs_done / epochs_per_stage;
}

StageRunner::StageRunner(const config::QuantizationConfig& config, quant::Plan plan, StageSchedule schedule,
                         quant::PqOptions options)
    : plan_(std::move(plan)), schedule_(schedule), options_(options) {
  state_.config = to_json(config);
}

void StageRunner::resume(const StageState& state) {
  QN_REQUIRE(state.config == state_.config, ErrorKind::kConfig,
             "the checkpoint belongs to a quantization with another configuration; found ", state.config,
             ", expected ", state_.config);
  QN_REQUIRE(state.current < num_stages(), ErrorKind::kFormat, "the checkpoint is in stage ",
             state.current + 1, " of ", num_stages());
  state_ = state;
}

bool StageRunner::begins(int64_t num_updates, int64_t epochs_done) const {
  const int64_t next = state_.current + 1;
  return state_.finished && next < num_stages() && schedule_.shares_over(num_updates, epochs_done) >= next;
}

std::vector<quant::QuantizedLayer> StageRunner::begin(torch::nn::Module& model, int64_t num_updates) {
  const int64_t stage = state_.current + 1;
  std::vector<quant::QuantizedLayer> layers;
  try {
    layers = quant::quantize_stage(model, plan_.stages[static_cast<size_t>(stage)], options_);
  } catch (Error& error) {
    throw error.in(str_cat("stage ", stage + 1));
  }
  state_.current = stage;
  state_.finished = false;
  StageRecord record;
  record.stage = stage + 1;
  for (const quant::QuantizedLayer& layer : layers) record.layers.push_back(layer.name);
  record.begin_update = num_updates;
  state_.records.push_back(std::move(record));
  return layers;
}

bool StageRunner::ends(int64_t num_updates, int64_t epochs_done) const {
  return !state_.finished && schedule_.shares_over(num_updates, epochs_done) > state_.current;
}

void StageRunner::end(int64_t num_updates, std::optional<double> valid_loss) {
  state_.finished = true;
  current_record().end_update = num_updates;
  current_record().valid_loss = valid_loss;
}

quant::PqOptions pq_options(const config::OptionValues& values) {
  quant::PqOptions options;
  options.iterations = static_cast<int>(values.get_int("pq-iterations"));
  options.seed = static_cast<uint64_t>(values.get_int("seed"));
  const bool trains = values.table().contains("pq-gradient");
  if (trains && values.get_string("pq-gradient") == "mean") options.gradient = codec::CentroidGradient::kMean;
  if (values.get_string("pq-centroid-type") == "int8") options.centroid_type = codec::ScalarType::kI8;
  return options;
}

codec::SizeTracker track_size(torch::nn::Module& model) {
  codec::SizeTracker tracker(quant::count_parameters(model));
  for (const quant::NamedSlot& named : quant::named_slots(model)) {
    if (named.slot->representation().scheme() != "pq") continue;
    const codec::PackedWeight packed = pack_weight(named);
    tracker.add_product(packed.numel(), packed.block_size, packed.num_centroids);
  }
  return tracker;
}

void describe_size(Event& event, const codec::SizeTracker& tracker) {
  event.add("size_mib", tracker.compressed_mib()).add("size_ratio", tracker.ratio());
}

}  // namespace quantnoise::train
