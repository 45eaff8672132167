// qn-run info: what this program will do with a model on this machine.

#include <algorithm>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "quantnoise/base/parallel.h"
#include "quantnoise/config/option_group.h"
#include "quantnoise/kernels/kernel_table.h"
#include "quantnoise/runtime/language_model.h"
#include "tools/common/session_options.h"
#include "tools/common/terminal.h"
#include "tools/common/version.h"
#include "tools/qn-run/commands.h"

namespace quantnoise::tool {

namespace {

using nlohmann::json;

constexpr int64_t kManyRows = 64;

void declare(config::OptionTable& table) {
  config::OptionGroup group(table, "input");
  group.text("model", "", "model file (positional); without one: the machine alone").alias("path");
  config::OptionGroup output(table, "output");
  output.flag("json", "one JSON object");
  declare_session(table);
}

std::vector<std::string> kernel_sets() {
  std::vector<std::string> names;
  for (const kernels::KernelTable* table : kernels::available_kernel_tables())
    names.emplace_back(table->name);
  return names;
}

json machine_json(const runtime::SessionOptions& options) {
  return {{"version", kVersion},
          {"cpu", kernels::cpu_description()},
          {"threads", options.num_threads},
          {"kernels", kernels::kernel_table().name},
          {"kernels_available", kernel_sets()}};
}

/// How products of n rows are computed.
std::string computed_by(const runtime::LayerReport& layer, int64_t n, runtime::Arithmetic arithmetic) {
  if (!layer.input.empty() && layer.matrix->multiplies_codes(n, {arithmetic})) return "codes times codes";
  return layer.matrix->kernel_name(n, arithmetic);
}

json layer_json(const runtime::LayerReport& layer, runtime::Arithmetic arithmetic) {
  json object = {{"name", layer.name},
                 {"kind", layer.kind},
                 {"scheme", layer.scheme},
                 {"rows", layer.rows},
                 {"columns", layer.cols},
                 {"stored_bytes", layer.stored_bytes},
                 {"owned_bytes", layer.owned_bytes}};
  if (!layer.tied_to.empty()) object["tied_to"] = layer.tied_to;
  if (!layer.input.empty()) object["input"] = layer.input;
  if (layer.matrix != nullptr) {
    object["one_row"] = computed_by(layer, 1, arithmetic);
    object["many_rows"] = computed_by(layer, kManyRows, arithmetic);
  } else if (layer.kind == "embedding") {
    object["one_row"] = "rows decoded";
    object["many_rows"] = "rows decoded";
  }
  return object;
}

json model_json(const runtime::Session& session) {
  const runtime::LanguageModel& model = session.model();
  const runtime::MemoryReport memory = session.memory();
  json layers = json::array();
  for (const runtime::LayerReport& layer : model.layers())
    layers.push_back(layer_json(layer, session.options().arithmetic));
  return {{"path", model.name()},
          {"architecture", model.architecture()},
          {"vocabulary", model.vocab_size()},
          {"positions", model.max_positions()},
          {"tokenizer", std::string(model.tokenizer().name())},
          {"layers", layers},
          {"memory",
           {{"file", memory.file},
            {"weights", memory.weights},
            {"cache_a_token", session.cache_bytes_a_token()},
            {"work_at_most", session.options().work_bytes}}}};
}

// ---- text
// ----------------------------------------------------------------------------------------------------------

std::string machine_text(const json& machine) {
  std::string text = str_cat("qn-run      ", kVersion, "\n");
  text += str_cat("threads     ", machine["threads"].get<int>(), "\n");
  text += str_cat("cpu         ", machine["cpu"].get<std::string>(), "\n");
  return text +
         str_cat("kernels     ", machine["kernels"].get<std::string>(),
                 " (available: ", join(machine["kernels_available"].get<std::vector<std::string>>(), ", "),
                 "; the environment variable QN_CPU forces one)\n");
}

std::string layer_kernels(const json& layer) {
  const std::string one = layer.value("one_row", ""), many = layer.value("many_rows", "");
  return one == many ? one : str_cat(one, "; many rows: ", many);
}

std::string layers_text(const json& layers) {
  std::vector<std::vector<std::string>> rows = {{"layer", "scheme", "shape", "bytes", "computed by"}};
  for (const json& layer : layers) {
    std::string remark = layer_kernels(layer);
    if (layer.contains("input")) remark += str_cat("; input ", layer["input"].get<std::string>());
    if (layer.contains("tied_to")) remark += str_cat("; = ", layer["tied_to"].get<std::string>());
    rows.push_back({layer["name"], layer["scheme"],
                    str_cat(layer["rows"].get<int64_t>(), " x ", layer["columns"].get<int64_t>()),
                    str_cat(layer["stored_bytes"].get<int64_t>()), remark});
  }
  std::vector<size_t> widths(4, 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::ostringstream out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < widths.size(); ++i)
      out << "  " << (i == 3 ? std::right : std::left) << std::setw(static_cast<int>(widths[i])) << row[i];
    out << "  " << row[4] << '\n';
  }
  return out.str();
}

std::string model_text(const json& model) {
  const json& memory = model["memory"];
  return str_cat("\n", model["path"].get<std::string>(), ": ", model["architecture"].get<std::string>(), ", ",
                 model["vocabulary"].get<int64_t>(), " words (", model["tokenizer"].get<std::string>(), "), ",
                 model["positions"].get<int64_t>(), " positions\n\n", layers_text(model["layers"]),
                 "\nmemory: file ", memory["file"].get<int64_t>(), " bytes, mapped; beside it ",
                 memory["weights"].get<int64_t>(), "; cache ", memory["cache_a_token"].get<int64_t>(),
                 " a token; buffers about ", memory["work_at_most"].get<int64_t>(), "\n");
}

int run(const Invocation& invocation) {
  const config::OptionValues& values = invocation.values;
  const runtime::SessionOptions options = session_options(values);
  json machine = machine_json(options);
  if (!values.is_explicit("model")) {
    print_text(values.get_bool("json") ? machine.dump(2) + "\n" : machine_text(machine));
    return 0;
  }
  const runtime::Session session(runtime::LanguageModel::open(values.get_string("model")), options);
  const json model = model_json(session);
  if (values.get_bool("json")) {
    machine["model"] = model;
    print_text(machine.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
  } else {
    print_text(machine_text(machine) + model_text(model));
  }
  return 0;
}

}  // namespace

Command run_info_command() {
  Command command;
  command.name = "info";
  command.summary = "Shows processor and kernels; of a model its layers, how each is computed, and memory.";
  command.examples = {"qn-run info", "qn-run info compressed.qn"};
  command.positional = {"model"};
  command.requires_positional = false;
  command.takes_recipe = false;
  command.declare = declare;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool
