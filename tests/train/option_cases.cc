#include "option_cases.h"

#include "quantnoise/nn/activation.h"
#include "quantnoise/train/lr_scheduler.h"
#include "quantnoise/train/optimizer.h"

namespace quantnoise::test {
namespace {

using Cases = std::vector<OptionCase>;

/// Four updates an epoch, three epochs, checkpoints of all of them.
Options epochs(const Options& changes = {}) {
  return with(
      {{"max-tokens", "1024"}, {"max-update", "0"}, {"max-epoch", "3"}, {"no-epoch-checkpoints", "false"}},
      changes);
}

/// Adaptive input and softmax without ties.
Options adaptive(const Options& changes = {}) {
  return with({{"share-decoder-input-output-embed", "false"},
               {"adaptive-input", "true"},
               {"adaptive-input-cutoff", "8,20"},
               {"adaptive-input-factor", "2"},
               {"adaptive-softmax-cutoff", "8,20"},
               {"adaptive-softmax-factor", "2"}},
              changes);
}

/// Plain gradient descent: the size of the gradient matters.
Options descent(const Options& changes = {}) {
  return with({{"optimizer", "sgd"}, {"lr", "0.1"}, {"clip-norm", "0"}}, changes);
}

Options schedule(const std::string& name, const Options& changes = {}) {
  return with({{"lr-scheduler", name}, {"max-update", "5"}}, changes);
}

Options noise(const Options& changes = {}) { return with({{"quant-noise-pq", "0.3"}}, changes); }

Options scalar(const Options& changes = {}) { return with({{"quant-noise-scalar", "0.5"}}, changes); }

Options staged(const Options& changes = {}) {
  return with({{"quantization-config-path", "@ipq.yaml"}}, changes);
}

/// Goes on with the run in "first", whose schedule has come down after two epochs.
Options going_on(const Options& changes = {}) {
  return with(epochs({{"restore-file", "@first/checkpoint_last.qn"},
                      {"lr-scheduler", "reduce_lr_on_plateau"},
                      {"lr-threshold", "0.9"}}),
              changes);
}

/// All of them but one.
std::vector<std::string> without(std::vector<std::string> names, const std::string& name) {
  std::erase(names, name);
  return names;
}

Cases task_cases() {
  return {
      {"data", {}, {"@second", "@second:@data"}},
      {"task", {}, {}, Effect::kOwnTest, "OptionEffects.ThereIsOneTask"},
      {"tokens-per-sample", {}, {"12"}},
      {"sample-break-mode", {}, {"complete", "complete_doc", "eos"}},
      {"output-dictionary-size", {}, {"20"}},
      {"train-subset", {}, {"valid"}},
      {"max-tokens", {}, {"96"}},
      {"batch-size", {}, {"3"}},
      {"required-batch-size-multiple", {}, {"3"}},
      {"curriculum", {}, {"1"}},
      {"num-workers", {}, {"0", "2"}, Effect::kNothing, "the same batches, whoever makes them"},
      {"num-workers", {}, {}, Effect::kOwnTest, "OptionEffects.WorkersAreAThreadOfTheirOwn"},
      {"data-buffer-size", {}, {"1", "3"}, Effect::kNothing, "the same batches, however early"},
      {"data-buffer-size", {}, {}, Effect::kOwnTest, "OptionEffects.BatchesArePreparedAhead"},
      {"seed", {}, {"2"}},
  };
}

Cases model_cases() {
  const Options apart = {{"share-decoder-input-output-embed", "false"}};
  return {
      {"arch", {}, {"transformer_lm_gpt", "transformer_lm_gbw"}},
      {"decoder-embed-dim", {}, {"16"}},
      {"decoder-input-dim", apart, {"16"}},
      {"decoder-output-dim", apart, {"16"}},
      {"decoder-ffn-embed-dim", {}, {"48"}},
      {"decoder-layers", {}, {"1"}},
      {"decoder-attention-heads", {}, {"4"}},
      {"decoder-normalize-before", {}, {"false"}},
      {"no-decoder-final-norm", {}, {"true"}},
      {"decoder-learned-pos", {}, {"true"}},
      {"no-token-positional-embeddings", {}, {"true"}},
      {"no-scale-embedding", {}, {"true"}},
      {"share-decoder-input-output-embed", {}, {"false"}},
      {"activation-fn", {}, without(nn::activation_names(), "relu")},
      {"max-target-positions", {{"decoder-learned-pos", "true"}}, {"40"}},
      {"share-layers", {}, {"2"}},
      {"decoder-layers-to-keep", {}, {"1"}},
      {"adaptive-input", adaptive({{"adaptive-input", "false"}}), {"true"}},
      {"adaptive-input-cutoff", adaptive(), {"6,20", "8"}},
      {"adaptive-input-factor", adaptive(), {"4"}},
      {"adaptive-softmax-cutoff", adaptive(), {"6,20", "8"}},
      {"adaptive-softmax-cutoff", apart, {"8,20"}},
      {"adaptive-softmax-factor", adaptive(), {"4"}},
      {"tie-adaptive-weights", adaptive(), {"true"}},
      {"tie-adaptive-proj", adaptive({{"tie-adaptive-weights", "true"}}), {"true"}},
  };
}

Cases regularization_cases() {
  return {
      {"dropout", {}, {"0.3", "0"}},
      {"attention-dropout", {}, {"0.3", "0"}},
      {"activation-dropout", {}, {"0.2"}},
      {"relu-dropout", {}, {"0.2"}},
      {"adaptive-softmax-dropout", adaptive(), {"0.2"}},
      {"decoder-layerdrop", {{"decoder-layers", "6"}}, {"0.2", "0.5"}},
  };
}

Cases optimization_cases() {
  return {
      {"criterion", {}, {"adaptive_loss"}, Effect::kRefuses},
      {"criterion", {}, {}, Effect::kOwnTest, "AdaptiveRun.CrossEntropyIsTheSameLoss"},
      {"sentence-avg", descent(), {"true"}},
      {"optimizer", {}, without(train::optimizer_names(), "adamw")},
      {"lr", {}, {"0.02"}},
      {"lr", epochs(), {"0.01,0.02"}},
      {"adam-betas", {}, {"(0.8, 0.999)", "(0.9, 0.98)"}},
      {"adam-betas", {{"optimizer", "adam"}}, {"(0.8, 0.999)", "(0.9, 0.98)"}},
      {"adam-eps", {}, {"0.01"}},
      {"adam-eps", {{"optimizer", "adam"}}, {"0.01"}},
      {"momentum", descent(), {"0.9"}},
      {"momentum", {{"optimizer", "nag"}}, {"0.5"}},
      {"weight-decay", {}, {"0.1"}},
      {"weight-decay", {{"optimizer", "adam"}}, {"0.1"}},
      {"weight-decay", {{"optimizer", "nag"}}, {"0.1"}},
      {"weight-decay", descent(), {"0.1"}},
      {"clip-norm", descent(), {"0.05"}},
      {"update-freq", {}, {"2"}},
      {"update-freq", epochs(), {"1,2"}},
      {"max-update", {}, {"2", "4"}},
      {"max-epoch", epochs(), {"1", "4"}},
      {"stop-time-hours", {}, {"1e-9"}},
      {"stop-min-lr", {}, {"0.02"}},
  };
}

Cases schedule_cases() {
  // Those that need them find a period, a top and a warm-up.
  const Options any =
      epochs(schedule("fixed", {{"lr-period-updates", "4"}, {"max-lr", "0.02"}, {"warmup-updates", "2"}}));
  const Options cosine = schedule("cosine", {{"lr-period-updates", "4"}});
  const Options short_cosine = schedule("cosine", {{"lr-period-updates", "1"}});
  const Options triangular = schedule("triangular", {{"lr-period-updates", "2"}, {"max-lr", "0.02"}});
  const Options polynomial = schedule("polynomial_decay");
  const Options plateau = epochs({{"lr-scheduler", "reduce_lr_on_plateau"}});
  return {
      {"lr-scheduler", any, without(train::lr_scheduler_names(), "fixed")},
      {"warmup-updates", {}, {"4"}},
      {"warmup-updates", cosine, {"2"}},
      {"warmup-updates", polynomial, {"2"}},
      {"warmup-updates", plateau, {"2"}},
      {"warmup-updates", schedule("inverse_sqrt", {{"warmup-updates", "4"}}), {"2"}},
      {"warmup-init-lr", schedule("inverse_sqrt", {{"warmup-updates", "4"}}), {"0.005"}},
      {"warmup-init-lr", with(cosine, {{"warmup-updates", "4"}}), {"0.005"}},
      {"min-lr", cosine, {"0.005"}},
      {"lr-period-updates", cosine, {"2"}},
      {"lr-period-updates", triangular, {"4"}},
      {"t-mult", short_cosine, {"2"}},
      {"lr-shrink", short_cosine, {"0.5"}},
      {"lr-shrink", triangular, {"0.5"}},
      {"lr-shrink", epochs({{"force-anneal", "2"}}), {"0.5"}},
      {"lr-shrink", with(plateau, {{"lr-threshold", "0.9"}}), {"0.5"}},
      {"force-anneal", epochs(), {"2"}},
      {"end-learning-rate", polynomial, {"0.005"}},
      {"power", polynomial, {"2"}},
      {"total-num-update", polynomial, {"10"}},
      {"max-lr", triangular, {"0.03"}},
      {"shrink-min", triangular, {"true"}},
      {"lr-threshold", plateau, {"0.9"}},
      {"lr-patience", with(plateau, {{"lr-threshold", "0.9"}}), {"1"}},
  };
}

Cases noise_cases() {
  const Options exact = noise({{"quant-noise-kind", "pq-exact"}, {"quant-noise-centroids", "4"}});
  return {
      {"quant-noise-pq", {}, {"0.3"}},
      {"quant-noise-pq-block-size", noise(), {"4"}},
      {"quant-noise-pq-embeddings", noise(), {"0.6", "0"}},
      {"quant-noise-kind", noise(), {"pq-exact", "mean"}},
      {"quant-noise-rescale", noise(), {"false"}},
      {"no-quant-noise-rescale", noise(), {"true"}},
      {"quant-noise-scalar", {}, {"0.5"}},
      {"quant-noise-scalar", scalar(), {"0.25", "1"}},
      {"quant-noise-start-update", noise(), {"2"}},
      {"quant-noise-start-update", scalar(), {"2"}},
      {"quant-noise-include", noise(), {R"(decoder\.layers\..*)"}},
      {"quant-noise-exclude", noise(), {R"(decoder\.embed_tokens)"}},
      {"quant-noise-centroids", exact, {"8"}},
      {"quant-noise-refresh", exact, {"1"}},
  };
}

Cases scalar_cases() {
  return {
      {"scalar-bits", {}, {"8"}},
      {"scalar-bits", scalar(), {"4"}},
      {"scalar-method", scalar(), {"tensor", "channel", "channel-l2"}},
      {"scalar-include", scalar(), {R"(decoder\.layers\..*)"}},
      {"scalar-exclude", scalar(), {R"(decoder\.embed_tokens)"}},
      {"scalar-update-step", scalar({{"max-update", "8"}, {"scalar-act-bits", "none"}}), {"1"}},
      {"scalar-ste", scalar({{"scalar-act-bits", "none"}}), {"clipped"}},
  };
}

Cases activation_cases() {
  const Options quick = scalar({{"scalar-act-calibration-updates", "1"}});
  // Weights are trained without noise there.
  const Options input_noise = {{"scalar-bits", "8"},
                               {"scalar-method", "tensor"},
                               {"scalar-act-calibration-updates", "1"},
                               {"quant-noise-scalar-act", "0.5"},
                               {"max-update", "8"}};
  return {
      {"scalar-act-bits", scalar(), {"none", "4"}},
      {"scalar-act-mode", scalar(), {"dynamic"}},
      {"scalar-act-method", scalar(), {"tensor"}},
      {"scalar-act-exclude", scalar(), {R"(decoder\.output_projection)"}},
      {"scalar-act-calibration-updates", scalar(), {"1"}},
      {"scalar-act-freeze-update", with(quick, {{"scalar-update-step", "1"}}), {"1"}},
      {"quant-noise-scalar-act", quick, {"0.5"}},
      {"quant-noise-start-update", input_noise, {"2"}},
      {"scalar-ste", input_noise, {"clipped"}},
      {"quant-noise-scalar-act", {}, {"0.5"}, Effect::kRefuses},
  };
}

Cases quantization_cases() {
  return {
      {"quantization-config-path", {}, {"@ipq.yaml"}},
      {"pq-iterations", staged(), {"1"}},
      {"pq-iterations", noise({{"quant-noise-kind", "pq-exact"}, {"quant-noise-centroids", "4"}}), {"1"}},
      {"pq-gradient", staged(), {"mean"}},
      {"pq-centroid-type", staged(), {"int8"}},
  };
}

Cases checkpoint_cases() {
  const Options by_updates = {{"save-interval-updates", "1"}, {"max-update", "4"}};
  const Options worsening = going_on({{"reset-lr-scheduler", "true"}, {"lr", "1"}});
  return {
      {"save-dir", {}, {}, Effect::kOwnTest, "OptionEffects.FilesAreInTheSaveDir"},
      {"restore-file", {{"max-update", "10"}}, {"@first/model.qn"}},
      {"finetune-from-model", {}, {"@first/model.qn"}},
      {"reset-optimizer", going_on(), {"true"}},
      {"reset-lr-scheduler", going_on(), {"true"}},
      {"reset-meters", worsening, {"true"}},
      {"reset-dataloader", going_on(), {"true"}},
      {"save-interval", epochs(), {"2"}},
      {"save-interval-updates", {}, {"2"}},
      {"keep-interval-updates", by_updates, {"1", "2"}},
      {"keep-interval-updates-pattern", with(by_updates, {{"keep-interval-updates", "1"}}), {"2"}},
      {"keep-last-epochs", epochs(), {"1", "2"}},
      {"keep-best-checkpoints", epochs(), {"1", "2"}},
      {"no-epoch-checkpoints", epochs(), {"true"}},
      {"no-last-checkpoints", {}, {"true"}},
      {"no-save-optimizer-state", {}, {"true"}},
      {"no-save", {}, {"true"}},
  };
}

Cases validation_cases() {
  const Options too_long = {{"data", "@long"}, {"sample-break-mode", "eos"}};
  return {
      {"valid-subset", {}, {"train", "valid,train"}},
      {"validate-interval", epochs(), {"2"}},
      {"validate-interval-updates", epochs(), {"2"}},
      {"validate-after-updates", epochs(), {"6"}},
      {"disable-validation", {}, {"true"}},
      {"max-tokens-valid", {}, {"8"}, Effect::kRefuses},
      {"max-tokens-valid", {}, {}, Effect::kOwnTest, "OptionEffects.ValidationIsCutIntoBatches"},
      {"batch-size-valid", {}, {}, Effect::kOwnTest, "OptionEffects.ValidationIsCutIntoBatches"},
      {"valid-precision", {}, {}, Effect::kOwnTest, "OptionDetails.ArithmeticOfValidation"},
      {"max-valid-steps", {{"batch-size-valid", "2"}}, {"3"}},
      {"skip-invalid-size-inputs-valid-test", too_long, {"true"}, Effect::kPermits},
      {"combine-val", {{"data", "@more"}}, {"true"}},
      {"best-checkpoint-metric", {}, {}, Effect::kOwnTest, "OptionDetails.MetricOfTheBest"},
      {"maximize-best-checkpoint-metric", epochs(), {"true"}},
      {"maximize-best-checkpoint-metric", {}, {}, Effect::kOwnTest, "OptionDetails.LargestIsTheBest"},
      {"patience", epochs({{"lr", "0"}}), {"1"}},
  };
}

Cases progress_cases() {
  return {
      {"log-interval", {}, {"2"}},
      {"log-format", {}, {}, Effect::kOwnTest, "OptionDetails.LogFormats"},
      {"no-progress-bar", {}, {}, Effect::kOwnTest, "OptionDetails.LogFormats"},
      {"log-file", {}, {}, Effect::kOwnTest, "OptionDetails.LogFileHoldsEverything"},
  };
}

Cases machine_cases() {
  const std::string arithmetic = "OptionDetails.ArithmeticOfTraining";
  return {
      {"threads", {}, {}, Effect::kOwnTest, "OptionEffects.ThreadsOfComputation"},
      {"bf16", {}, {}, Effect::kOwnTest, arithmetic},
      {"fp16", {}, {}, Effect::kOwnTest, arithmetic},
      {"memory-efficient-bf16", {}, {}, Effect::kOwnTest, arithmetic},
      {"memory-efficient-fp16", {}, {}, Effect::kOwnTest, arithmetic},
      {"amp", {}, {}, Effect::kOwnTest, arithmetic},
      {"device", {}, {"cuda"}, Effect::kRefuses},
  };
}

}  // namespace

const std::vector<OptionCase>& option_cases() {
  static const Cases cases = [] {
    Cases all;
    for (const auto& group :
         {task_cases(), model_cases(), regularization_cases(), optimization_cases(), schedule_cases(),
          noise_cases(), scalar_cases(), activation_cases(), quantization_cases(), checkpoint_cases(),
          validation_cases(), progress_cases(), machine_cases()}) {
      all.insert(all.end(), group.begin(), group.end());
    }
    return all;
  }();
  return cases;
}

}  // namespace quantnoise::test
