#include "tools/common/bench_command.h"

#include <algorithm>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "quantnoise/base/parallel.h"
#include "quantnoise/config/option_group.h"
#include "quantnoise/kernels/instruction_set.h"
#include "tools/common/bench_measure.h"
#include "tools/common/json_object.h"
#include "tools/common/terminal.h"
#include "tools/common/version.h"

namespace quantnoise::tool {

namespace {

using nlohmann::json;

void declare(config::OptionTable& table) {
  config::OptionGroup input(table, "input");
  input.text("model", "", "model file (positional)").alias("path");
  config::OptionGroup measure(table, "measurements");
  measure.integers("batch", "1,4", "sequences at once").min(1).max(64);
  measure.integers("threads", "", "threads; default: 1, and one for each core")
      .min(1)
      .max(runtime::kMostThreads);
  measure
      .integer("prompt-tokens", "128",
               "length of the prompts; less where the model has not so many positions")
      .unit("tokens")
      .min(1);
  measure.integer("new-tokens", "64", "tokens generated behind them").unit("tokens").min(1);
  measure.real("seconds", "0.2", "time for each number of the whole model; a layer takes a tenth").min(0);
  measure.flag("fast", "look-up tables of 8 bits instead of 16");
  measure.boolean("layers", "true", "times the layers one by one too");
  measure.boolean("dense", "true", "compares with the same model in dense fp32");
  config::OptionGroup output(table, "output");
  output.flag("json", "one JSON object");
}

std::vector<int> thread_counts(const config::OptionValues& values) {
  std::vector<int> counts;
  if (values.has_value("threads")) {
    for (const int64_t count : values.get_int_list("threads")) counts.push_back(static_cast<int>(count));
    return counts;
  }
  counts.push_back(1);
  if (base::default_num_threads() > 1) counts.push_back(base::default_num_threads());
  return counts;
}

json layers_json(const runtime::LanguageModel& model, const runtime::LanguageModel* dense,
                 const BenchSettings& settings, int num_threads, int64_t batch) {
  json rows = json::array();
  for (const LayerTime& time : time_layers(model, dense, settings, num_threads, batch)) {
    json row = json_object({{"layer", time.layer->name},
                            {"scheme", time.layer->scheme},
                            {"rows", time.layer->rows},
                            {"columns", time.layer->cols},
                            {"threads", num_threads},
                            {"batch", batch},
                            {"kernel", time.layer->matrix->kernel_name(batch, settings.arithmetic)},
                            {"bytes", time.layer->weight_bytes},
                            {"microseconds", time.microseconds}});
    if (dense != nullptr) {
      row["dense_microseconds"] = time.dense_microseconds;
      row["speedup"] = time.dense_microseconds / time.microseconds;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

json model_json(const std::vector<std::shared_ptr<const runtime::LanguageModel>>& models,
                const BenchSettings& settings, int num_threads, int64_t batch) {
  const std::vector<ModelSpeed> speeds = time_models(models, settings, num_threads, batch);
  json row = json_object({{"threads", num_threads},
                          {"batch", batch},
                          {"prompt_tokens_per_second", speeds[0].prompt},
                          {"generated_tokens_per_second", speeds[0].generation},
                          {"bytes_a_step", bytes_a_step(*models[0])}});
  if (speeds.size() > 1) {
    row["dense_prompt_tokens_per_second"] = speeds[1].prompt;
    row["dense_generated_tokens_per_second"] = speeds[1].generation;
    row["dense_bytes_a_step"] = bytes_a_step(*models[1]);
    row["prompt_speedup"] = speeds[0].prompt / speeds[1].prompt;
    row["generation_speedup"] = speeds[0].generation / speeds[1].generation;
  }
  return row;
}

// ---- text
// ----------------------------------------------------------------------------------------------------------

/// A number with so many digits after the point; "-" where there is none.
std::string cell(const json& row, const char* key, int digits) {
  if (!row.contains(key)) return "-";
  if (row[key].is_string()) return row[key];
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << row[key].get<double>();
  return out.str();
}

struct Column {
  const char* key;
  const char* title;
  int digits = 0;
};

std::string table_text(const json& rows, const std::vector<Column>& columns) {
  std::vector<std::vector<std::string>> cells = {{}};
  for (const Column& column : columns) cells[0].emplace_back(column.title);
  for (const json& row : rows) {
    cells.emplace_back();
    for (const Column& column : columns) cells.back().push_back(cell(row, column.key, column.digits));
  }
  std::ostringstream out;
  for (const auto& line : cells) {
    for (size_t i = 0; i < line.size(); ++i) {
      size_t width = 0;
      for (const auto& other : cells) width = std::max(width, other[i].size());
      const bool is_text =
          !rows.empty() && rows[0].contains(columns[i].key) && rows[0][columns[i].key].is_string();
      out << "  " << (is_text ? std::left : std::right) << std::setw(static_cast<int>(width)) << line[i];
    }
    out << '\n';
  }
  return out.str();
}

std::string text_of(const json& bench) {
  std::string text = str_cat(bench["model"].get<std::string>(), ", ", bench["arithmetic"].get<std::string>(),
                             " arithmetic\n", bench["cpu"].get<std::string>(), "\n");
  if (!bench["layers"].empty()) {
    text += "\nlayer by layer, from the cache where it fits (microseconds a product):\n";
    text += table_text(bench["layers"], {{"layer", "layer"},
                                         {"scheme", "scheme"},
                                         {"rows", "rows"},
                                         {"columns", "columns"},
                                         {"threads", "threads"},
                                         {"batch", "batch"},
                                         {"bytes", "bytes"},
                                         {"microseconds", "time", 1},
                                         {"dense_microseconds", "dense fp32", 1},
                                         {"speedup", "speedup", 2},
                                         {"kernel", "computed by"}});
  }
  text +=
      str_cat("\nwhole model (tokens a second; prompts of ", bench["prompt_tokens"].get<int64_t>(), ", then ",
              bench["new_tokens"].get<int64_t>(), " new tokens; bytes of weights read a step):\n");
  return text + table_text(bench["whole"], {{"threads", "threads"},
                                            {"batch", "batch"},
                                            {"prompt_tokens_per_second", "prompt"},
                                            {"dense_prompt_tokens_per_second", "dense fp32"},
                                            {"prompt_speedup", "speedup", 2},
                                            {"generated_tokens_per_second", "generation"},
                                            {"dense_generated_tokens_per_second", "dense fp32"},
                                            {"generation_speedup", "speedup", 2},
                                            {"bytes_a_step", "bytes"},
                                            {"dense_bytes_a_step", "dense bytes"}});
}

int run(const Invocation& invocation) {
  const config::OptionValues& values = invocation.values;
  const std::string& path = values.get_string("model");
  std::vector<std::shared_ptr<const runtime::LanguageModel>> models = {runtime::LanguageModel::open(path)};
  if (values.get_bool("dense")) models.push_back(dense_twin(path));
  const runtime::LanguageModel* dense = models.size() > 1 ? models[1].get() : nullptr;
  BenchSettings settings;
  settings.arithmetic = values.get_bool("fast") ? runtime::Arithmetic::kFast : runtime::Arithmetic::kPrecise;
  settings.prompt_tokens = values.get_int("prompt-tokens");
  settings.new_tokens = values.get_int("new-tokens");
  settings.seconds = values.get_float("seconds");
  settings = fitted(*models[0], settings);
  json layers = json::array(), whole = json::array();
  for (const int num_threads : thread_counts(values)) {
    for (const int64_t batch : values.get_int_list("batch")) {
      print_status(str_cat("measuring: ", num_threads, " threads, ", batch, " sequences"));
      if (values.get_bool("layers")) {
        for (json& row : layers_json(*models[0], dense, settings, num_threads, batch))
          layers.push_back(std::move(row));
      }
      whole.push_back(model_json(models, settings, num_threads, batch));
    }
  }
  print_status("");
  const json bench = json_object({{"version", kVersion},
                                  {"model", path},
                                  {"arithmetic", values.get_bool("fast") ? "fast (8-bit tables)" : "precise"},
                                  {"cpu", kernels::cpu_description()},
                                  {"prompt_tokens", settings.prompt_tokens},
                                  {"new_tokens", settings.new_tokens},
                                  {"layers", layers},
                                  {"whole", whole}});
  print_text(values.get_bool("json") ? json_text(bench, 2) + "\n" : text_of(bench));
  return 0;
}

}  // namespace

Command bench_command(const std::string& program) {
  Command command;
  command.name = "bench";
  command.summary = "Times a model file layer by layer and as a whole, against the same model in dense fp32.";
  command.details =
      "Runs the runtime, without LibTorch. What is compared takes turns in one run; every number is that of "
      "the fastest "
      "round.";
  command.examples = {program + " bench compressed.qn",
                      program + " bench compressed.qn --threads 1 --batch 1 --fast"};
  command.positional = {"model"};
  command.takes_recipe = false;
  command.declare = declare;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool
