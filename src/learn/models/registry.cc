#include "quantnoise/models/registry.h"

#include "quantnoise/base/error.h"

namespace quantnoise::models {

namespace {

using Defaults = std::vector<std::pair<std::string, std::string>>;

/// `base` with some values replaced or added.
Defaults with(Defaults base, const Defaults& changes) {
  for (const auto& [name, value] : changes) {
    const auto same = [&name = name](const auto& entry) { return entry.first == name; };
    const auto found = std::find_if(base.begin(), base.end(), same);
    if (found == base.end()) {
      base.emplace_back(name, value);
    } else {
      found->second = value;
    }
  }
  return base;
}

/// Width, feed-forward width, layers and heads.
Defaults size(const char* dim, const char* ffn, const char* layers, const char* heads) {
  return {{"decoder-embed-dim", dim},
          {"decoder-ffn-embed-dim", ffn},
          {"decoder-layers", layers},
          {"decoder-attention-heads", heads}};
}

std::vector<Architecture> make_architectures() {
  const char* const family = "transformer_lm";
  // fairseq sets pre-norm in the architecture itself: "model training is not stable without this".
  const Defaults base = with(size("512", "2048", "6", "8"), {{"decoder-normalize-before", "true"},
                                                             {"activation-fn", "relu"},
                                                             {"dropout", "0.1"},
                                                             {"attention-dropout", "0.0"}});
  const Defaults big = with(base, size("1024", "4096", "12", "16"));
  const Defaults gbw = with(big, {{"decoder-embed-dim", "512"},
                                  {"dropout", "0.1"},
                                  {"attention-dropout", "0.1"},
                                  {"no-decoder-final-norm", "true"}});
  // Both cutoffs are fitted to the 267,744 words of Wikitext-103.
  const Defaults wiki103 = with(big, {{"decoder-layers", "16"},
                                      {"decoder-attention-heads", "8"},
                                      {"dropout", "0.3"},
                                      {"attention-dropout", "0.1"},
                                      {"activation-dropout", "0.1"},
                                      {"no-decoder-final-norm", "true"},
                                      {"adaptive-input", "true"},
                                      {"adaptive-input-cutoff", "20000,60000"},
                                      {"adaptive-softmax-cutoff", "20000,60000"},
                                      {"adaptive-softmax-dropout", "0.2"},
                                      {"tie-adaptive-weights", "true"},
                                      {"tie-adaptive-proj", "true"}});
  const Defaults gpt = with(base, {{"attention-dropout", "0.1"}, {"activation-fn", "gelu"}});
  const Defaults gpt3 = with(gpt, {{"dropout", "0.0"},
                                   {"attention-dropout", "0.0"},
                                   {"decoder-learned-pos", "true"},
                                   {"share-decoder-input-output-embed", "true"}});
  return {
      {"transformer_lm", family, base},
      {"transformer_lm_big", family, big},
      {"transformer_lm_gbw", family, gbw},
      {"transformer_lm_baevski_gbw", family, gbw},
      {"transformer_lm_wiki103", family, wiki103},
      {"transformer_lm_baevski_wiki103", family, wiki103},
      {"transformer_lm_gpt", family, with(gpt, size("768", "3072", "12", "12"))},
      {"transformer_lm_gpt2_tiny", family, with(gpt, size("64", "64", "2", "1"))},
      {"transformer_lm_gpt2_small", family, with(gpt, size("1024", "4096", "24", "16"))},
      {"transformer_lm_gpt2_medium", family, with(gpt, size("1280", "5120", "36", "20"))},
      {"transformer_lm_gpt2_big", family, with(gpt, size("1600", "6400", "48", "25"))},
      {"transformer_lm_gpt2_big_wide", family, with(gpt, size("2048", "8192", "24", "32"))},
      {"transformer_lm_gpt2_bigger", family, with(gpt, size("2048", "8192", "48", "32"))},
      {"transformer_lm_gpt3_small", family, with(gpt3, size("768", "3072", "12", "12")), true},
      {"transformer_lm_gpt3_medium", family, with(gpt3, size("1024", "4096", "24", "16")), true},
      {"transformer_lm_gpt3_large", family, with(gpt3, size("1536", "6144", "24", "16")), true},
      {"transformer_lm_gpt3_xl", family, with(gpt3, size("2048", "8192", "24", "32")), true},
      {"transformer_lm_gpt3_2_7", family, with(gpt3, size("2560", "10240", "32", "32")), true},
      {"transformer_lm_gpt3_6_7", family, with(gpt3, size("4096", "16384", "32", "32")), true},
      {"transformer_lm_gpt3_13", family, with(gpt3, size("5120", "20480", "40", "40")), true},
      {"transformer_lm_gpt3_175", family, with(gpt3, size("12288", "49152", "96", "96")), true},
  };
}

}  // namespace

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> table = make_architectures();
  return table;
}

const Architecture& find_architecture(const std::string& name) {
  std::vector<std::string> known;
  for (const Architecture& architecture : architectures()) {
    if (architecture.name == name) return architecture;
    known.push_back(architecture.name);
  }
  const std::vector<std::string> nearest = nearest_names(name, known);
  throw Error(
      ErrorKind::kConfig, str_cat("unknown architecture '", name, "'"),
      str_cat(nearest.empty() ? "known: " : "nearest: ", join(nearest.empty() ? known : nearest, ", ")));
}

std::shared_ptr<LanguageModel> make_model(const std::string& family, const std::string& options_json) {
  QN_REQUIRE(family == "transformer_lm", ErrorKind::kFormat, "model family: found '", family,
             "', expected transformer_lm");
  return make_transformer_lm(transformer_lm_options_from_json(options_json));
}

}  // namespace quantnoise::models
