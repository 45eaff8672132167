// qn inspect: what a model file holds.

#include <algorithm>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "quantnoise/base/error.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/train/option_group.h"
#include "tools/common/terminal.h"
#include "tools/qn/commands.h"

namespace quantnoise::tool {

namespace {

using nlohmann::json;

void declare(config::OptionTable& table) {
  train::OptionGroup group(table, "");
  group.text("model", "", "model file or checkpoint (positional)");
  group.flag("json", "one JSON object");
}

std::string scheme_name(codec::Scheme scheme) {
  switch (scheme) {
    case codec::Scheme::kDense:
      return "dense";
    case codec::Scheme::kAffine:
      return "affine";
    case codec::Scheme::kProduct:
      return "pq";
  }
  return "";
}

std::string type_name(codec::ScalarType type) {
  switch (type) {
    case codec::ScalarType::kF32:
      return "fp32";
    case codec::ScalarType::kF16:
      return "fp16";
    case codec::ScalarType::kBF16:
      return "bf16";
    case codec::ScalarType::kI8:
      return "int8";
    case codec::ScalarType::kU8:
      return "uint8";
    case codec::ScalarType::kI32:
      return "int32";
    case codec::ScalarType::kI64:
      return "int64";
  }
  return "";
}

json parsed(const std::string& text) {
  json object = json::parse(text, nullptr, false);
  return object.is_discarded() ? json::object() : object;
}

/// Of the runs whose weights this one started from, then of this one.
std::vector<json> noise_records(const json& history) {
  std::vector<json> records;
  if (history.contains("earlier_noise") && history["earlier_noise"].is_array()) {
    records = history["earlier_noise"].get<std::vector<json>>();
  }
  if (history.contains("noise")) records.push_back(history["noise"]);
  return records;
}

/// Names of the weights that were trained with noise, as the trainer recorded them.
std::set<std::string> noised_names(const json& history) {
  std::set<std::string> names;
  for (const json& noise : noise_records(history)) {
    if (!noise.is_object()) continue;
    for (const json& record : {noise, noise.value("scalar", json::object())}) {
      for (const json& name : record.value("noised", json::array())) {
        if (name.is_string()) names.insert(name.get<std::string>());
      }
    }
  }
  return names;
}

bool was_noised(const std::set<std::string>& noised, const std::string& weight) {
  const std::string layer = weight.substr(0, weight.rfind(".weight"));
  return noised.contains(weight) || noised.contains(layer);
}

json weight_json(const std::string& name, const codec::PackedWeight& weight, const pack::ModelFile& file,
                 const std::set<std::string>& noised) {
  std::vector<std::string> aliases;
  for (const auto& [alias, canonical] : file.ties) {
    if (canonical == name) aliases.push_back(alias);
  }
  json object = {{"name", name},          {"scheme", scheme_name(weight.scheme)},
                 {"shape", weight.shape}, {"bytes", weight.stored_bytes()},
                 {"aliases", aliases},    {"noised", was_noised(noised, name)}};
  if (weight.scheme == codec::Scheme::kProduct) {
    object["block_size"] = weight.block_size;
    object["num_centroids"] = weight.num_centroids;
    object["code_bits"] = weight.code_bits;
    object["centroid_type"] = type_name(weight.centroid_type);
  } else if (weight.scheme == codec::Scheme::kAffine) {
    object["bits"] = weight.code_bits;
    object["per_channel"] = weight.affine_axis >= 0;
  } else {
    object["type"] = type_name(weight.dense_type);
  }
  return object;
}

json size_json(const pack::SizeReport& size) {
  return {
      {"file", size.file_bytes},          {"header", size.header_bytes},     {"codes", size.code_bytes},
      {"centroids", size.centroid_bytes}, {"affine", size.affine_bytes},     {"dense", size.dense_bytes},
      {"blobs", size.blob_bytes},         {"training", size.training_bytes}, {"padding", size.padding_bytes}};
}

std::string mode_name(pack::ActivationMode mode) {
  switch (mode) {
    case pack::ActivationMode::kStatic:
      return "static";
    case pack::ActivationMode::kDynamic:
      return "dynamic";
    case pack::ActivationMode::kNone:
      break;
  }
  return "none";
}

json activations_json(const pack::Activations& activations) {
  json layers = json::array();
  for (const auto& [name, grid] : activations.layers) {
    json layer = {{"name", name}, {"bits", grid.bits}};
    if (activations.mode == pack::ActivationMode::kStatic) {
      layer["scale"] = grid.scale;
      layer["zero_point"] = grid.zero_point;
    }
    layers.push_back(std::move(layer));
  }
  return {{"mode", mode_name(activations.mode)}, {"layers", std::move(layers)}};
}

json describe(const std::string& path) {
  const pack::ModelFile file = pack::read_model_file(path);
  const json history = parsed(file.history_json);
  const std::set<std::string> noised = noised_names(history);
  json weights = json::array();
  for (const auto& [name, weight] : file.weights) weights.push_back(weight_json(name, weight, file, noised));
  json tensors = json::array();
  json blobs = json::object();
  for (const auto& [name, tensor] : file.tensors) {
    if (name.starts_with(pack::kTrainingPrefix)) continue;
    tensors.push_back({{"name", name},
                       {"type", type_name(tensor.type)},
                       {"shape", tensor.shape},
                       {"bytes", tensor.data.bytes.size()}});
  }
  for (const auto& [name, blob] : file.blobs) blobs[name] = blob.bytes.size();
  return {{"path", path},
          {"kind", file.kind},
          {"format_version", file.format_version},
          {"architecture", file.architecture},
          {"options", parsed(file.options_json)},
          {"weights", weights},
          {"activations", activations_json(file.activations)},
          {"tensors", tensors},
          {"blobs", blobs},
          {"ties", file.ties},
          {"history", history},
          {"size", size_json(pack::size_report(path))}};
}

// ---- text
// ----------------------------------------------------------------------------------------------------------

std::string with_separators(uint64_t number) {
  std::string digits = std::to_string(number);
  for (auto i = static_cast<int64_t>(digits.size()) - 3; i > 0; i -= 3)
    digits.insert(static_cast<size_t>(i), ",");
  return digits;
}

std::string shape_text(const json& shape) { return join(shape.get<std::vector<int64_t>>(), " x "); }

std::string scheme_text(const json& weight) {
  const std::string scheme = weight["scheme"];
  if (scheme == "pq") {
    const bool int8 = weight["centroid_type"] == "int8";
    return str_cat("pq ", weight["num_centroids"].get<int>(), " x ", weight["block_size"].get<int>(),
                   int8 ? " int8" : "", ", ", weight["code_bits"].get<int>(), " bit");
  }
  if (scheme == "affine") {
    return str_cat("int", weight["bits"].get<int>(), weight["per_channel"].get<bool>() ? " by channel" : "");
  }
  return weight["type"];
}

/// Columns padded to their longest cell; the third one (bytes) to the right.
std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::ostringstream out;
  for (const auto& row : rows) {
    std::ostringstream line;
    for (size_t i = 0; i < row.size(); ++i) {
      line << "  " << (i == 3 ? std::right : std::left) << std::setw(static_cast<int>(widths[i])) << row[i];
    }
    std::string text = line.str();
    out << text.erase(text.find_last_not_of(' ') + 1) << '\n';
  }
  return out.str();
}

std::string weights_text(const json& weights) {
  std::vector<std::vector<std::string>> rows = {{"weight", "scheme", "shape", "bytes", ""}};
  for (const json& weight : weights) {
    std::vector<std::string> remarks;
    if (weight["noised"].get<bool>()) remarks.emplace_back("noised");
    for (const json& alias : weight["aliases"]) remarks.push_back("= " + alias.get<std::string>());
    rows.push_back({weight["name"], scheme_text(weight), shape_text(weight["shape"]),
                    with_separators(weight["bytes"].get<uint64_t>()), join(remarks, "  ")});
  }
  return table_text(rows);
}

/// A line a layer: the range of its input, from the smallest to the largest value.
std::string activations_text(const json& activations) {
  const std::string mode = activations["mode"];
  if (mode == "none") return "inputs of products: not quantized\n";
  std::vector<std::vector<std::string>> rows = {{"input of", "scheme", "range", ""}};
  for (const json& layer : activations["layers"]) {
    const int bits = layer["bits"];
    std::string range = "of every row";
    if (mode == "static") {
      const double scale = layer["scale"];
      const int zero_point = layer["zero_point"];
      range = str_cat(-zero_point * scale, " to ", ((1 << bits) - 1 - zero_point) * scale);
    }
    rows.push_back({layer["name"], str_cat("int", bits), range, ""});
  }
  return str_cat("inputs of products: ", mode, "\n", table_text(rows));
}

std::string size_text(const json& size) {
  std::string text = str_cat("size: ", with_separators(size["file"].get<uint64_t>()), " bytes\n");
  const std::vector<std::pair<const char*, const char*>> parts = {
      {"codes", "product codes"},
      {"centroids", "centroids"},
      {"affine", "int-N codes and scales"},
      {"dense", "dense weights and other tensors"},
      {"blobs", "dictionary and tokenizer"},
      {"training", "training state"},
      {"header", "header"},
      {"padding", "padding"}};
  for (const auto& [key, title] : parts) {
    const auto bytes = size[key].get<uint64_t>();
    if (bytes == 0) continue;
    std::ostringstream line;
    line << "  " << std::setw(15) << with_separators(bytes) << "  " << title << '\n';
    text += line.str();
  }
  return text;
}

size_t count_of(const json& record, const char* list) { return record.value(list, json::array()).size(); }

std::string scalar_noise_text(const json& scalar) {
  return str_cat("int", scalar.value("bits", 0), " noise, probability ", scalar.value("probability", 0.0),
                 ", method ", scalar.value("method", ""), ", grids every ", scalar.value("update_step", 0),
                 " updates, gradient ", scalar.value("ste", ""), "; on ", count_of(scalar, "noised"),
                 " weights, not on ", count_of(scalar, "untouched"));
}

std::string noise_text(const json& noise) {
  std::vector<std::string> parts;
  if (noise.is_object() && noise.value("probability", 0.0) > 0) {
    parts.push_back(str_cat(noise.value("kind", ""), ", probability ", noise.value("probability", 0.0),
                            ", blocks of ", noise.value("block_size", 0), "; on ", count_of(noise, "noised"),
                            " weights, not on ", count_of(noise, "untouched")));
  }
  if (noise.is_object() && noise.contains("scalar")) parts.push_back(scalar_noise_text(noise["scalar"]));
  if (noise.is_object() && noise.contains("activations")) {
    const json& inputs = noise["activations"];
    parts.push_back(str_cat("inputs int", inputs.value("bits", 0), " ", inputs.value("mode", ""),
                            ", probability ", inputs.value("probability", 0.0), ", method ",
                            inputs.value("method", ""), ", gradient ", inputs.value("ste", "")));
  }
  return "noise: " + (parts.empty() ? "none" : join(parts, "; ")) + "\n";
}

std::string scalar_text(const json& scalar) {
  return str_cat("quantized to int", scalar.value("bits", 0), " without training, method ",
                 scalar.value("method", ""), ": ", count_of(scalar, "layers"), " layers\n");
}

std::string loss_text(const json& stage, const char* key) {
  return stage.contains(key) && stage[key].is_number() ? str_cat(stage[key].get<double>()) : "not measured";
}

std::string stages_text(const json& stages) {
  std::string text;
  for (const json& stage : stages) {
    text += str_cat("stage ", stage.value("stage", 0), ": ", stage.value("layers", json::array()).size(),
                    " layers, updates ", stage.value("begin_update", 0), " to ", stage.value("end_update", 0),
                    ", validation loss ", loss_text(stage, "raw_loss"), " raw, ",
                    loss_text(stage, "valid_loss"), " finetuned\n");
  }
  return text;
}

/// How the model was made; whatever this program does not know is shown as it stands.
std::string history_text(const json& history) {
  std::string text;
  for (const auto& [name, value] : history.items()) {
    if (name == "noise") {
      text += noise_text(value);
    } else if (name == "earlier_noise" && value.is_array()) {
      for (const json& noise : value) text += "earlier " + noise_text(noise);
    } else if (name == "scalar" && value.is_object()) {
      text += scalar_text(value);
    } else if (name == "activations" && value.is_object()) {
      text += str_cat("inputs calibrated without training, on the split ", value.value("split", ""),
                      ", method ", value.value("method", ""), "\n");
    } else if (name == "stages" && value.is_array()) {
      text += stages_text(value);
    } else {
      text += str_cat(name, ": ", value.dump(), "\n");
    }
  }
  return text;
}

std::string text_of(const json& file) {
  uint64_t other_bytes = 0;
  for (const json& tensor : file["tensors"]) other_bytes += tensor["bytes"].get<uint64_t>();
  std::string text =
      str_cat(file["path"].get<std::string>(), ": ", file["kind"].get<std::string>(), ", ",
              file["architecture"].get<std::string>(), ", format ", file["format_version"].get<int>(), "\n\n",
              weights_text(file["weights"]), "\n", activations_text(file["activations"]),
              "\nother tensors: ", file["tensors"].size(), ", ", with_separators(other_bytes), " bytes\n\n",
              size_text(file["size"]));
  return text + "\n" + history_text(file["history"]);
}

int run(const Invocation& invocation) {
  const std::string& path = invocation.values.get_string("model");
  std::string text;
  try {
    const json file = describe(path);
    text = invocation.values.get_bool("json")
               ? file.dump(2, ' ', false, json::error_handler_t::replace) + "\n"
               : text_of(file);
  } catch (const json::exception& error) {
    // The history is free-form JSON of the file: values of other types than ours are the file's fault.
    throw Error(ErrorKind::kFormat,
                str_cat("cannot read ", path, ": its history is not understood: ", error.what()));
  }
  print_text(text);
  return 0;
}

}  // namespace

Command inspect_command() {
  Command command;
  command.name = "inspect";
  command.summary =
      "Shows what a model file holds: weights, schemes, bytes, ties, what was noised, how it was made.";
  command.examples = {"qn inspect compressed.qn"};
  command.positional = {"model"};
  command.takes_recipe = false;
  command.declare = declare;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool
