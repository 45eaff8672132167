#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <variant>

#include "quantnoise/architecture/transformer_lm.h"
#include "quantnoise/base/error.h"

namespace quantnoise::architecture {

namespace {

using nlohmann::json;

constexpr size_t kLongestOptions = 64 * 1024;

template <typename T>
using Member = T TransformerLmOptions::*;

struct NamedMember {
  const char* name;
  std::variant<Member<int64_t>, Member<double>, Member<bool>, Member<std::vector<int64_t>>,
               Member<std::string>>
      member;
};

constexpr NamedMember kMembers[] = {
    {"vocab_size", &TransformerLmOptions::vocab_size},
    {"padding_idx", &TransformerLmOptions::padding_idx},
    {"decoder_embed_dim", &TransformerLmOptions::decoder_embed_dim},
    {"decoder_input_dim", &TransformerLmOptions::decoder_input_dim},
    {"decoder_output_dim", &TransformerLmOptions::decoder_output_dim},
    {"decoder_ffn_embed_dim", &TransformerLmOptions::decoder_ffn_embed_dim},
    {"decoder_layers", &TransformerLmOptions::decoder_layers},
    {"decoder_attention_heads", &TransformerLmOptions::decoder_attention_heads},
    {"decoder_normalize_before", &TransformerLmOptions::decoder_normalize_before},
    {"no_decoder_final_norm", &TransformerLmOptions::no_decoder_final_norm},
    {"decoder_learned_pos", &TransformerLmOptions::decoder_learned_pos},
    {"no_token_positional_embeddings", &TransformerLmOptions::no_token_positional_embeddings},
    {"no_scale_embedding", &TransformerLmOptions::no_scale_embedding},
    {"share_decoder_input_output_embed", &TransformerLmOptions::share_decoder_input_output_embed},
    {"activation_fn", &TransformerLmOptions::activation_fn},
    {"dropout", &TransformerLmOptions::dropout},
    {"attention_dropout", &TransformerLmOptions::attention_dropout},
    {"activation_dropout", &TransformerLmOptions::activation_dropout},
    {"decoder_layerdrop", &TransformerLmOptions::decoder_layerdrop},
    {"max_target_positions", &TransformerLmOptions::max_target_positions},
    {"share_layers", &TransformerLmOptions::share_layers},
    {"adaptive_input", &TransformerLmOptions::adaptive_input},
    {"adaptive_input_cutoff", &TransformerLmOptions::adaptive_input_cutoff},
    {"adaptive_input_factor", &TransformerLmOptions::adaptive_input_factor},
    {"adaptive_softmax_cutoff", &TransformerLmOptions::adaptive_softmax_cutoff},
    {"adaptive_softmax_dropout", &TransformerLmOptions::adaptive_softmax_dropout},
    {"adaptive_softmax_factor", &TransformerLmOptions::adaptive_softmax_factor},
    {"tie_adaptive_weights", &TransformerLmOptions::tie_adaptive_weights},
    {"tie_adaptive_proj", &TransformerLmOptions::tie_adaptive_proj},
};

void read(const json& value, const char* name, int64_t& to) {
  QN_REQUIRE(value.is_number_integer(), ErrorKind::kFormat, "model option ", name, ": found ", value.dump(),
             ", expected a whole number");
  to = value.get<int64_t>();
}
void read(const json& value, const char* name, double& to) {
  QN_REQUIRE(value.is_number(), ErrorKind::kFormat, "model option ", name, ": found ", value.dump(),
             ", expected a number");
  to = value.get<double>();
}
void read(const json& value, const char* name, bool& to) {
  QN_REQUIRE(value.is_boolean(), ErrorKind::kFormat, "model option ", name, ": found ", value.dump(),
             ", expected true or false");
  to = value.get<bool>();
}
void read(const json& value, const char* name, std::vector<int64_t>& to) {
  const auto is_whole = [](const json& item) { return item.is_number_integer(); };
  QN_REQUIRE(value.is_array() && std::all_of(value.begin(), value.end(), is_whole), ErrorKind::kFormat,
             "model option ", name, ": found ", value.dump(), ", expected a list of whole numbers");
  to = value.get<std::vector<int64_t>>();
}
void read(const json& value, const char* name, std::string& to) {
  QN_REQUIRE(value.is_string(), ErrorKind::kFormat, "model option ", name, ": found ", value.dump(),
             ", expected a text");
  to = value.get<std::string>();
}

}  // namespace

std::string to_json(const TransformerLmOptions& options) {
  json object = json::object();
  for (const NamedMember& named : kMembers)
    std::visit([&](auto member) { object[named.name] = options.*member; }, named.member);
  return object.dump();
}

TransformerLmOptions transformer_lm_options_from_json(const std::string& text) {
  QN_REQUIRE(text.size() <= kLongestOptions, ErrorKind::kFormat, "model options: found ", text.size(),
             " bytes, expected at most ", kLongestOptions);
  json object = json::parse(std::string_view(text), nullptr, /*allow_exceptions=*/false);
  QN_REQUIRE(object.is_object(), ErrorKind::kFormat, "model options: expected a JSON object");
  TransformerLmOptions options;
  std::vector<std::string> known;
  for (const NamedMember& named : kMembers) {
    known.push_back(named.name);
    const auto found = object.find(named.name);
    if (found == object.end()) continue;
    std::visit([&](auto member) { read(*found, named.name, options.*member); }, named.member);
    object.erase(found);
  }
  if (!object.empty()) {
    const std::string& name = object.begin().key();
    const std::vector<std::string> nearest = nearest_names(name, known);
    throw Error(ErrorKind::kFormat, str_cat("model options: found the unknown option '", name, "'"),
                nearest.empty() ? "" : str_cat("nearest: ", join(nearest, ", ")));
  }
  return options;
}

}  // namespace quantnoise::architecture
