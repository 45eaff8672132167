#include "learn/train/model_options.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "quantnoise/base/error.h"
#include "quantnoise/text/dictionary.h"
#include "quantnoise/train/options.h"
#include "quantnoise/train/prune.h"

namespace quantnoise::train {
namespace {

using nlohmann::json;

int64_t int_or(const config::OptionValues& values, const char* name, int64_t fallback) {
  return values.has_value(name) ? values.get_int(name) : fallback;
}

std::vector<int64_t> list_or_none(const config::OptionValues& values, const char* name) {
  return values.has_value(name) ? values.get_int_list(name) : std::vector<int64_t>();
}

double activation_dropout(const config::OptionValues& values) {
  const double rate = values.get_float("activation-dropout");
  return rate != 0 ? rate : values.get_float("relu-dropout");
}

std::string underscored(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

json parse_object(const std::string& text) {
  json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  QN_REQUIRE(object.is_object(), ErrorKind::kFormat,
             "the options of the model are not a JSON object: ", text);
  return object;
}

}  // namespace

models::TransformerLmOptions transformer_lm_options(const config::OptionValues& values, int64_t vocab_size) {
  models::TransformerLmOptions options;
  options.vocab_size = vocab_size;
  options.padding_idx = text::kPad;
  options.decoder_embed_dim = values.get_int("decoder-embed-dim");
  options.decoder_input_dim = int_or(values, "decoder-input-dim", options.decoder_embed_dim);
  options.decoder_output_dim = int_or(values, "decoder-output-dim", options.decoder_embed_dim);
  options.decoder_ffn_embed_dim = values.get_int("decoder-ffn-embed-dim");
  options.decoder_layers = values.get_int("decoder-layers");
  options.decoder_attention_heads = values.get_int("decoder-attention-heads");
  options.decoder_normalize_before = values.get_bool("decoder-normalize-before");
  options.no_decoder_final_norm = values.get_bool("no-decoder-final-norm");
  options.decoder_learned_pos = values.get_bool("decoder-learned-pos");
  options.no_token_positional_embeddings = values.get_bool("no-token-positional-embeddings");
  options.no_scale_embedding = values.get_bool("no-scale-embedding");
  options.share_decoder_input_output_embed = values.get_bool("share-decoder-input-output-embed");
  options.activation_fn = values.get_string("activation-fn");
  options.dropout = values.get_float("dropout");
  options.attention_dropout = values.get_float("attention-dropout");
  options.activation_dropout = activation_dropout(values);
  options.decoder_layerdrop = values.get_float("decoder-layerdrop");
  options.adaptive_input = values.get_bool("adaptive-input");
  options.adaptive_input_cutoff = list_or_none(values, "adaptive-input-cutoff");
  options.adaptive_input_factor = values.get_float("adaptive-input-factor");
  options.adaptive_softmax_cutoff = list_or_none(values, "adaptive-softmax-cutoff");
  options.adaptive_softmax_dropout = values.get_float("adaptive-softmax-dropout");
  options.adaptive_softmax_factor = values.get_float("adaptive-softmax-factor");
  options.tie_adaptive_weights = values.get_bool("tie-adaptive-weights");
  options.tie_adaptive_proj = values.get_bool("tie-adaptive-proj");
  options.share_layers = values.get_int("share-layers");
  options.max_target_positions = int_or(values, "max-target-positions", values.get_int("tokens-per-sample"));
  if (values.has_value(kLayersToKeep)) {
    const int64_t layers = options.decoder_layers / std::max<int64_t>(options.share_layers, 1);
    const auto kept = checked_layers(values.get_int_list(kLayersToKeep), layers);
    options.decoder_layers = static_cast<int64_t>(kept.size()) * options.share_layers;
  }
  return options;
}

std::string with_regularization(const std::string& stored_json, const config::OptionValues& values) {
  json options = parse_object(stored_json);
  const std::array<std::pair<const char*, double>, 5> rates = {{
      {"dropout", values.get_float("dropout")},
      {"attention_dropout", values.get_float("attention-dropout")},
      {"activation_dropout", activation_dropout(values)},
      {"adaptive_softmax_dropout", values.get_float("adaptive-softmax-dropout")},
      {"decoder_layerdrop", values.get_float("decoder-layerdrop")},
  }};
  for (const auto& [name, rate] : rates) {
    if (options.contains(name)) options[name] = rate;
  }
  return options.dump();
}

void require_no_conflict(const std::string& stored_json, const config::OptionValues& values,
                         const std::string& path) {
  const json stored = parse_object(stored_json);
  const json given = parse_object(values.to_json({option_group::kModel}));
  for (const auto& [name, value] : given.items()) {
    if (!values.is_explicit(name)) continue;
    // The layers given are those before some were taken out.
    if (config::canonical_name(name) == "decoder-layers" && values.has_value(kLayersToKeep)) continue;
    const auto found = stored.find(underscored(name));
    if (found == stored.end()) continue;
    // Numbers are compared as numbers: 512 and 512.0 agree.
    const bool same = value.is_number() && found->is_number() ? value.get<double>() == found->get<double>()
                                                              : value == *found;
    if (same) continue;
    throw Error(
        ErrorKind::kConfig,
        str_cat("--", config::canonical_name(name), " ", values.text(name), " conflicts with ", path,
                ", whose model has ", underscored(config::canonical_name(name)), " = ", found->dump()),
        "leave the option out: the architecture comes from the file");
  }
}

}  // namespace quantnoise::train
