// qn-run info: what this program will do with a model on this machine.

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "quantnoise/base/parallel.h"
#include "quantnoise/config/option_group.h"
#include "quantnoise/kernels/instruction_set.h"
#include "quantnoise/runtime/language_model.h"
#include "tools/common/json_object.h"
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
  for (const kernels::InstructionSet* table : kernels::available_instruction_sets())
    names.emplace_back(table->name);
  return names;
}

/// How products of n rows are computed.
std::string computed_by(const runtime::LayerReport& layer, int64_t n, runtime::Arithmetic arithmetic) {
  if (!layer.input.empty() && layer.matrix->multiplies_codes(n, {arithmetic})) return "codes times codes";
  return layer.matrix->kernel_name(n, arithmetic);
}

/// How products with one row and with many are computed.
struct Computed {
  std::string one_row, many_rows;
};

Computed computed(const runtime::LayerReport& layer, runtime::Arithmetic arithmetic) {
  if (layer.matrix != nullptr)
    return {computed_by(layer, 1, arithmetic), computed_by(layer, kManyRows, arithmetic)};
  if (layer.kind == "embedding") return {"rows decoded", "rows decoded"};
  return {};
}

// ---- JSON
// ----------------------------------------------------------------------------------------------------------

json machine_json(const runtime::SessionOptions& options) {
  json sets = json::array();
  for (const std::string& name : kernel_sets()) sets.push_back(name);
  return json_object({{"version", kVersion},
                      {"cpu", kernels::cpu_description()},
                      {"threads", options.num_threads},
                      {"kernels", kernels::instruction_set().name},
                      {"kernels_available", sets}});
}

json layer_json(const runtime::LayerReport& layer, runtime::Arithmetic arithmetic) {
  json object = json_object({{"name", layer.name},
                             {"kind", layer.kind},
                             {"scheme", layer.scheme},
                             {"rows", layer.rows},
                             {"columns", layer.cols},
                             {"stored_bytes", layer.stored_bytes},
                             {"owned_bytes", layer.owned_bytes}});
  const Computed by = computed(layer, arithmetic);
  if (!layer.tied_to.empty()) object["tied_to"] = layer.tied_to;
  if (!layer.input.empty()) object["input"] = layer.input;
  if (!by.one_row.empty()) object["one_row"] = by.one_row;
  if (!by.many_rows.empty()) object["many_rows"] = by.many_rows;
  return object;
}

json model_json(const runtime::Session& session) {
  const runtime::LanguageModel& model = session.model();
  const runtime::MemoryReport memory = session.memory();
  json layers = json::array();
  for (const runtime::LayerReport& layer : model.layers())
    layers.push_back(layer_json(layer, session.options().arithmetic));
  return json_object({{"path", model.name()},
                      {"architecture", model.architecture()},
                      {"vocabulary", model.vocab_size()},
                      {"positions", model.max_positions()},
                      {"tokenizer", model.tokenizer().name()},
                      {"layers", layers},
                      {"memory", json_object({{"file", memory.file},
                                              {"weights", memory.weights},
                                              {"cache_a_token", session.cache_bytes_a_token()},
                                              {"work_at_most", session.options().work_bytes}})}});
}

// ---- text
// ----------------------------------------------------------------------------------------------------------

std::string machine_text(const runtime::SessionOptions& options) {
  return str_cat("qn-run      ", kVersion, "\n", "threads     ", options.num_threads, "\n", "cpu         ",
                 kernels::cpu_description(), "\n", "kernels     ", kernels::instruction_set().name,
                 " (available: ", join(kernel_sets(), ", "),
                 "; the environment variable QN_CPU forces one)\n");
}

std::string remark_of(const runtime::LayerReport& layer, runtime::Arithmetic arithmetic) {
  const Computed by = computed(layer, arithmetic);
  std::string remark = by.one_row;
  if (by.one_row != by.many_rows) remark += str_cat("; many rows: ", by.many_rows);
  if (!layer.input.empty()) remark += str_cat("; input ", layer.input);
  if (!layer.tied_to.empty()) remark += str_cat("; = ", layer.tied_to);
  return remark;
}

std::string layers_text(const runtime::Session& session) {
  std::vector<std::array<std::string, 6>> rows = {
      {"layer", "scheme", "shape", "bytes", "held", "computed by"}};
  for (const runtime::LayerReport& layer : session.model().layers()) {
    rows.push_back({layer.name, layer.scheme, str_cat(layer.rows, " x ", layer.cols),
                    str_cat(layer.stored_bytes), str_cat(layer.owned_bytes),
                    remark_of(layer, session.options().arithmetic)});
  }
  size_t widths[5] = {};
  for (const auto& row : rows) {
    for (size_t i = 0; i < 5; ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < 5; ++i) {
      const std::string blanks(widths[i] - row[i].size(), ' ');
      text += i >= 3 ? str_cat("  ", blanks, row[i]) : str_cat("  ", row[i], blanks);
    }
    text += str_cat("  ", row[5], "\n");
  }
  return text;
}

std::string model_text(const runtime::Session& session) {
  const runtime::LanguageModel& model = session.model();
  const runtime::MemoryReport memory = session.memory();
  return str_cat("\n", model.name(), ": ", model.architecture(), ", ", model.vocab_size(), " words (",
                 model.tokenizer().name(), "), ", model.max_positions(), " positions\n\n",
                 layers_text(session), "\nmemory: file ", memory.file, " bytes, mapped; beside it ",
                 memory.weights, "; cache ", session.cache_bytes_a_token(), " a token; buffers about ",
                 session.options().work_bytes, "\n");
}

int run(const Invocation& invocation) {
  const config::OptionValues& values = invocation.values;
  const runtime::SessionOptions options = session_options(values);
  const bool as_json = values.get_bool("json");
  std::optional<runtime::Session> session;
  if (values.is_explicit("model"))
    session.emplace(runtime::LanguageModel::open(values.get_string("model")), options);
  if (as_json) {
    json object = machine_json(options);
    if (session) object["model"] = model_json(*session);
    print_text(json_text(object, 2) + "\n");
  } else {
    print_text(machine_text(options) + (session ? model_text(*session) : ""));
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
