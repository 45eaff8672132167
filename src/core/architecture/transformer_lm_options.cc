#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "quantnoise/architecture/transformer_lm.h"
#include "quantnoise/base/error.h"

namespace quantnoise::architecture {

namespace {

using nlohmann::ordered_json;

constexpr size_t kLongestOptions = 64 * 1024;

/// Calls visit(name, member) for every option.
template <typename Options, typename Visit>
void visit_options(Options& options, const Visit& visit) {
  visit("vocab_size", options.vocab_size);
  visit("padding_idx", options.padding_idx);
  visit("decoder_embed_dim", options.decoder_embed_dim);
  visit("decoder_input_dim", options.decoder_input_dim);
  visit("decoder_output_dim", options.decoder_output_dim);
  visit("decoder_ffn_embed_dim", options.decoder_ffn_embed_dim);
  visit("decoder_layers", options.decoder_layers);
  visit("decoder_attention_heads", options.decoder_attention_heads);
  visit("decoder_normalize_before", options.decoder_normalize_before);
  visit("no_decoder_final_norm", options.no_decoder_final_norm);
  visit("decoder_learned_pos", options.decoder_learned_pos);
  visit("no_token_positional_embeddings", options.no_token_positional_embeddings);
  visit("no_scale_embedding", options.no_scale_embedding);
  visit("share_decoder_input_output_embed", options.share_decoder_input_output_embed);
  visit("activation_fn", options.activation_fn);
  visit("dropout", options.dropout);
  visit("attention_dropout", options.attention_dropout);
  visit("activation_dropout", options.activation_dropout);
  visit("decoder_layerdrop", options.decoder_layerdrop);
  visit("max_target_positions", options.max_target_positions);
  visit("share_layers", options.share_layers);
  visit("adaptive_input", options.adaptive_input);
  visit("adaptive_input_cutoff", options.adaptive_input_cutoff);
  visit("adaptive_input_factor", options.adaptive_input_factor);
  visit("adaptive_softmax_cutoff", options.adaptive_softmax_cutoff);
  visit("adaptive_softmax_dropout", options.adaptive_softmax_dropout);
  visit("adaptive_softmax_factor", options.adaptive_softmax_factor);
  visit("tie_adaptive_weights", options.tie_adaptive_weights);
  visit("tie_adaptive_proj", options.tie_adaptive_proj);
}

void read(const ordered_json& value, const char* name, int64_t& to) {
  QN_REQUIRE(value.is_number_integer(), ErrorKind::kFormat, "model option ", name, ": found ", value.dump(),
             ", expected a whole number");
  to = value.get<int64_t>();
}
void read(const ordered_json& value, const char* name, double& to) {
  QN_REQUIRE(value.is_number(), ErrorKind::kFormat, "model option ", name, ": found ", value.dump(),
             ", expected a number");
  to = value.get<double>();
}
void read(const ordered_json& value, const char* name, bool& to) {
  QN_REQUIRE(value.is_boolean(), ErrorKind::kFormat, "model option ", name, ": found ", value.dump(),
             ", expected true or false");
  to = value.get<bool>();
}
void read(const ordered_json& value, const char* name, std::vector<int64_t>& to) {
  const auto is_whole = [](const ordered_json& item) { return item.is_number_integer(); };
  QN_REQUIRE(value.is_array() && std::all_of(value.begin(), value.end(), is_whole), ErrorKind::kFormat,
             "model option ", name, ": found ", value.dump(), ", expected a list of whole numbers");
  to = value.get<std::vector<int64_t>>();
}
void read(const ordered_json& value, const char* name, std::string& to) {
  QN_REQUIRE(value.is_string(), ErrorKind::kFormat, "model option ", name, ": found ", value.dump(),
             ", expected a text");
  to = value.get<std::string>();
}

}  // namespace

std::string to_json(const TransformerLmOptions& options) {
  ordered_json object;
  visit_options(options, [&](const char* name, const auto& value) { object[name] = value; });
  return object.dump();
}

TransformerLmOptions transformer_lm_options_from_json(const std::string& json) {
  QN_REQUIRE(json.size() <= kLongestOptions, ErrorKind::kFormat, "model options: found ", json.size(),
             " bytes, expected at most ", kLongestOptions);
  ordered_json object = ordered_json::parse(json, nullptr, /*allow_exceptions=*/false);
  QN_REQUIRE(object.is_object(), ErrorKind::kFormat, "model options: expected a JSON object");
  TransformerLmOptions options;
  std::vector<std::string> known;
  visit_options(options, [&](const char* name, auto& value) {
    known.push_back(name);
    const auto found = object.find(name);
    if (found == object.end()) return;
    read(*found, name, value);
    object.erase(found);
  });
  if (!object.empty()) {
    const std::string name = object.begin().key();
    const std::vector<std::string> nearest = nearest_names(name, known);
    throw Error(ErrorKind::kFormat, str_cat("model options: found the unknown option '", name, "'"),
                nearest.empty() ? "" : str_cat("nearest: ", join(nearest, ", ")));
  }
  return options;
}

}  // namespace quantnoise::architecture
