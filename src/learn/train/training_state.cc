#include "learn/train/training_state.h"

#include <nlohmann/json.hpp>

#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

using nlohmann::json;

json optional_number(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }

std::optional<double> read_optional(const json& value) {
  return value.is_null() ? std::nullopt : std::optional<double>(value.get<double>());
}

json to_object(const StageRecord& record) {
  return {{"stage", record.stage},
          {"layers", record.layers},
          {"begin_update", record.begin_update},
          {"end_update", record.end_update},
          {"raw_loss", optional_number(record.raw_loss)},
          {"valid_loss", optional_number(record.valid_loss)}};
}

StageRecord read_record(const json& object) {
  StageRecord record;
  object.at("stage").get_to(record.stage);
  object.at("layers").get_to(record.layers);
  object.at("begin_update").get_to(record.begin_update);
  object.at("end_update").get_to(record.end_update);
  record.raw_loss = read_optional(object.at("raw_loss"));
  record.valid_loss = read_optional(object.at("valid_loss"));
  return record;
}

json records_array(const StageState& stages) {
  json records = json::array();
  for (const StageRecord& record : stages.records) records.push_back(to_object(record));
  return records;
}

TrainingState read_state(const json& object) {
  TrainingState state;
  object.at("num_updates").get_to(state.num_updates);
  const json& iterator = object.at("iterator");
  iterator.at("epoch").get_to(state.iterator.epoch);
  iterator.at("position").get_to(state.iterator.position);
  iterator.at("num_batches").get_to(state.iterator.num_batches);
  iterator.at("batches_hash").get_to(state.iterator.batches_hash);
  object.at("optimizer").get_to(state.optimizer);
  object.at("lr_scheduler").get_to(state.lr_scheduler);
  object.at("scheduler_state").get_to(state.scheduler_state);
  object.at("meter").get_to(state.meter);
  object.at("train_seconds").get_to(state.train_seconds);
  state.wall_seconds = object.value("wall_seconds", state.train_seconds);  // earlier versions have none
  state.best_metric = read_optional(object.at("best_metric"));
  state.best_loss = read_optional(object.at("best_loss"));
  state.patience_metric = read_optional(object.at("patience_metric"));
  object.at("validations_without_gain").get_to(state.validations_without_gain);
  const json& stages = object.at("stages");
  stages.at("config").get_to(state.stages.config);
  stages.at("current").get_to(state.stages.current);
  stages.at("finished").get_to(state.stages.finished);
  for (const json& record : stages.at("records")) state.stages.records.push_back(read_record(record));
  state.options = object.at("options").dump();
  return state;
}

}  // namespace

std::string to_json(const TrainingState& state) {
  const json iterator = {{"epoch", state.iterator.epoch},
                         {"position", state.iterator.position},
                         {"num_batches", state.iterator.num_batches},
                         {"batches_hash", state.iterator.batches_hash}};
  const json stages = {{"config", state.stages.config},
                       {"current", state.stages.current},
                       {"finished", state.stages.finished},
                       {"records", records_array(state.stages)}};
  return json{{"num_updates", state.num_updates},
              {"iterator", iterator},
              {"optimizer", state.optimizer},
              {"lr_scheduler", state.lr_scheduler},
              {"scheduler_state", state.scheduler_state},
              {"meter", state.meter},
              {"train_seconds", state.train_seconds},
              {"wall_seconds", state.wall_seconds},
              {"best_metric", optional_number(state.best_metric)},
              {"best_loss", optional_number(state.best_loss)},
              {"patience_metric", optional_number(state.patience_metric)},
              {"validations_without_gain", state.validations_without_gain},
              {"stages", stages},
              {"options", json::parse(state.options)}}
      .dump();
}

TrainingState training_state_from_json(const std::string& text) {
  try {
    return read_state(json::parse(text));
  } catch (const json::exception& error) {
    throw Error(ErrorKind::kFormat, str_cat("the training state cannot be read: ", error.what()));
  }
}

std::string with_stages(const std::string& history_json, const StageState& stages) {
  nlohmann::ordered_json history =
      nlohmann::ordered_json::parse(history_json, nullptr, /*allow_exceptions=*/false);
  if (!history.is_object()) history = nlohmann::ordered_json::object();
  history["stages"] = records_array(stages);
  return history.dump();
}

}  // namespace quantnoise::train
