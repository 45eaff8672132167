#include "learn/train/idle_options.h"

#include <set>

#include "learn/train/activation_plan.h"
#include "learn/train/scalar_setup.h"

namespace quantnoise::train {
namespace {

struct Rule {
  bool counts;  ///< whether the options can change anything
  std::vector<const char*> options;
};

using Rules = std::vector<Rule>;

Rules optimization_rules(const config::OptionValues& values) {
  const bool is_adam = values.get_string("optimizer").starts_with("adam");
  return {{is_adam, {"adam-betas", "adam-eps"}},
          {!is_adam, {"momentum"}},
          {values.get_float("activation-dropout") == 0, {"relu-dropout"}},
          {values.get_int("num-workers") > 0, {"data-buffer-size"}}};
}

Rules schedule_rules(const config::OptionValues& values) {
  const std::string& schedule = values.get_string("lr-scheduler");
  const auto is = [&](const std::set<std::string>& names) { return names.contains(schedule); };
  const bool anneals = schedule == "fixed" && values.has_value("force-anneal");
  const bool sees_metric = schedule == "reduce_lr_on_plateau" && !values.get_bool("disable-validation");
  return {{!is({"triangular"}), {"warmup-updates"}},
          {is({"cosine", "inverse_sqrt", "reduce_lr_on_plateau"}), {"warmup-init-lr"}},
          {is({"cosine"}), {"min-lr", "t-mult"}},
          {is({"cosine", "triangular"}), {"lr-period-updates"}},
          {is({"cosine", "triangular"}) || anneals || sees_metric, {"lr-shrink"}},
          {is({"fixed"}), {"force-anneal"}},
          {is({"polynomial_decay"}), {"end-learning-rate", "power", "total-num-update"}},
          {is({"triangular"}), {"max-lr", "shrink-min"}},
          {sees_metric, {"lr-threshold", "lr-patience"}}};
}

Rules checkpoint_rules(const config::OptionValues& values) {
  const bool validates = !values.get_bool("disable-validation");
  return {{validates || values.get_int("save-interval-updates") > 0, {"validate-after-updates"}},
          {values.get_int("keep-interval-updates") > 0, {"keep-interval-updates-pattern"}},
          {validates,
           {"valid-subset", "validate-interval", "validate-interval-updates", "max-tokens-valid",
            "batch-size-valid", "valid-precision", "skip-invalid-size-inputs-valid-test", "combine-val",
            "max-valid-steps", "best-checkpoint-metric", "maximize-best-checkpoint-metric",
            "keep-best-checkpoints", "patience"}}};
}

Rules quantization_rules(const config::OptionValues& values) {
  const bool has_embedding_rate =
      values.has_value("quant-noise-pq-embeddings") && values.get_float("quant-noise-pq-embeddings") > 0;
  const bool has_blocks = values.get_float("quant-noise-pq") > 0 || has_embedding_rate;
  const std::string& kind = values.get_string("quant-noise-kind");
  const bool has_codebooks = has_blocks && kind == "pq-exact";
  const bool has_grids = scalar_setup(values).has_value();
  const auto inputs = activation_setup(values);
  const bool has_inputs = inputs && inputs->options.mode != quant::ActivationMode::kNone;
  const bool has_ranges = has_inputs && inputs->options.mode == quant::ActivationMode::kStatic;
  const bool has_noise = has_blocks || values.get_float("quant-noise-scalar") > 0 ||
                         values.get_float("quant-noise-scalar-act") > 0;
  const bool has_stages = !values.get_string("quantization-config-path").empty();
  return {{has_blocks,
           {"quant-noise-pq-block-size", "quant-noise-kind", "quant-noise-include", "quant-noise-exclude"}},
          {has_blocks && kind == "pq", {"quant-noise-rescale", "no-quant-noise-rescale"}},
          {has_codebooks, {"quant-noise-centroids", "quant-noise-refresh"}},
          {has_noise, {"quant-noise-start-update"}},
          {has_grids, {"scalar-method", "scalar-include", "scalar-exclude"}},
          {has_grids || has_ranges, {"scalar-update-step"}},
          {has_grids || has_inputs, {"scalar-ste"}},
          {has_inputs, {"scalar-act-mode", "scalar-act-exclude"}},
          {has_ranges, {"scalar-act-method", "scalar-act-calibration-updates", "scalar-act-freeze-update"}},
          {has_stages || has_codebooks, {"pq-iterations"}}};
}

}  // namespace

std::vector<std::string> idle_options(const config::OptionValues& values) {
  std::vector<std::string> idle;
  for (const Rules& rules : {optimization_rules(values), schedule_rules(values), checkpoint_rules(values),
                             quantization_rules(values)}) {
    for (const Rule& rule : rules) {
      for (const char* option : rule.options) {
        if (!rule.counts && values.is_explicit(option)) idle.emplace_back(option);
      }
    }
  }
  return idle;
}

}  // namespace quantnoise::train
