#include "quantnoise/train/options.h"

#include "learn/train/quantization_options.h"
#include "quantnoise/models/registry.h"
#include "quantnoise/train/criterion.h"
#include "quantnoise/train/lr_scheduler.h"
#include "quantnoise/train/optimizer.h"
#include "quantnoise/train/option_group.h"
#include "quantnoise/train/task.h"

namespace quantnoise::train {
namespace {

using config::OptionType;

std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const models::Architecture& architecture : models::architectures()) names.push_back(architecture.name);
  return names;
}

void declare_task(config::OptionTable& table) {
  OptionGroup group(table, option_group::kTask);
  group.text("data", "",
             "folder made by qn preprocess or fairseq-preprocess (positional); several, separated by colons, "
             "take turns by epochs");
  group.choice("task", "language_modeling", task_names(), "what is learned");
  group.integer("tokens-per-sample", "1024", "longest sample").unit("tokens").min(1);
  group.choice(
      "sample-break-mode", "none", {"none", "complete", "complete_doc", "eos"},
      "how text is cut: none: every tokens-per-sample; complete: whole sentences; complete_doc: not across "
      "documents; eos: one sentence a sample");
  group.integer("output-dictionary-size", "-1", "targets from this number on become <unk>; -1: no limit");
  group.text("train-subset", "train", "split to train on");
  group.integer("max-tokens", "", "most tokens in a batch (sentences x longest sentence)")
      .unit("tokens")
      .min(1);
  group.integer("batch-size", "", "most sentences in a batch")
      .alias("max-sentences")
      .unit("sentences")
      .min(1);
  group
      .integer("required-batch-size-multiple", "8",
               "batches have fewer sentences than this, or a multiple of it")
      .min(1);
  group.integer("curriculum", "0", "batches are not shuffled in the first N epochs").unit("epochs").min(0);
  group
      .integer("num-workers", "1",
               "0: batches are made in the training thread; else one thread prepares them")
      .min(0);
  group.integer("data-buffer-size", "10", "batches prepared ahead").unit("batches").min(1);
  group.integer("seed", "1", "number all random draws depend on").min(0);
}

void declare_model(config::OptionTable& table) {
  OptionGroup group(table, option_group::kModel);
  group.choice("arch", "transformer_lm", architecture_names(), "architecture: sets defaults of this group")
      .alias("a");
  group.integer("decoder-embed-dim", "512", "width of the layers").min(1);
  group.integer("decoder-input-dim", "", "width of the input embedding; default: decoder-embed-dim").min(1);
  group.integer("decoder-output-dim", "", "width of the output embedding; default: decoder-embed-dim").min(1);
  group.integer("decoder-ffn-embed-dim", "2048", "width inside the feed-forward layers").min(1);
  group.integer("decoder-layers", "6", "number of layers").min(1);
  group.integer("decoder-attention-heads", "8", "number of attention heads").min(1);
  group.flag("decoder-normalize-before", "layer norm before each block instead of after it");
  group.flag("no-decoder-final-norm", "no layer norm after the last layer (with decoder-normalize-before)");
  group.flag("decoder-learned-pos", "learned positions instead of sinusoidal ones");
  group.flag("no-token-positional-embeddings", "no positions at all");
  group.flag("no-scale-embedding", "embeddings are not multiplied by the root of the width");
  group.flag("adaptive-input",
             "input embedding by bands of the dictionary: rarer words have narrower tables");
  group.integers("adaptive-input-cutoff", "", "numbers of the words at which the bands of adaptive-input end")
      .min(1);
  group.real("adaptive-input-factor", "4", "each band's width is that of the one before, divided by this")
      .min(1);
  group.integers("adaptive-softmax-cutoff", "", "output by bands that end at these numbers").min(1);
  group.real("adaptive-softmax-factor", "4", "as adaptive-input-factor, for the output").min(1);
  group.flag("tie-adaptive-weights", "output tables are those of the adaptive input");
  group.flag("tie-adaptive-proj", "output projections are those of the adaptive input, transposed");
  group.integer("share-layers", "1", "this many neighbouring layers are one layer, applied as often").min(1);
  group
      .integers("decoder-layers-to-keep", "",
                "only these layers, counted from 0: of a new model or of the one restored")
      .min(0);
  group.flag("share-decoder-input-output-embed", "input and output embedding are one weight");
  group.text("activation-fn", "relu", "activation inside the feed-forward layers");
  group.integer("max-target-positions", "", "longest sequence; default: tokens-per-sample")
      .unit("tokens")
      .min(1);
}

void declare_regularization(config::OptionTable& table) {
  OptionGroup group(table, option_group::kRegularization);
  group.real("dropout", "0.1", "dropout on embeddings and block outputs").unit("probability").min(0).max(1);
  group.real("attention-dropout", "0.0", "dropout on attention weights").unit("probability").min(0).max(1);
  group.real("activation-dropout", "0.0", "dropout after the activation function")
      .unit("probability")
      .min(0)
      .max(1);
  group.real("relu-dropout", "0.0", "as activation-dropout; counts when that is 0")
      .unit("probability")
      .min(0)
      .max(1);
  group.real("adaptive-softmax-dropout", "0.0", "dropout on the adaptive softmax's input and projections")
      .unit("probability")
      .min(0)
      .max(1);
  group.real("decoder-layerdrop", "0.0", "rate at which whole layers are left out")
      .unit("probability")
      .min(0)
      .max(1);
}

void declare_optimization(config::OptionTable& table) {
  OptionGroup group(table, option_group::kOptimization);
  group.choice("criterion", "cross_entropy", criterion_names(),
               "cross_entropy; adaptive_loss: the same of an output by bands, refused without one");
  group.flag("sentence-avg", "gradients are averaged over sentences instead of tokens");
  group.choice("optimizer", "adam", optimizer_names(), "adam: fairseq's, adamw: torch's, nag, sgd");
  group.reals("lr", "0.25", "learning rate; a list gives one for each epoch (--lr-scheduler fixed)").min(0);
  group.reals("adam-betas", "(0.9, 0.999)", "decay of Adam's two averages").min(0).max(1);
  group.real("adam-eps", "1e-8", "Adam's epsilon").min(0);
  group.real("momentum", "", "momentum; default: 0.99 for nag, 0 for sgd").min(0);
  group.real("weight-decay", "0.0", "weight decay").min(0);
  group.real("clip-norm", "0.0", "largest norm of the gradient; 0: no limit").min(0);
  group.integers("update-freq", "1", "batches an update; a list gives one for each epoch").min(1);
  group.integer("max-update", "0", "updates in all; 0: no limit").unit("updates").min(0);
  group.integer("max-epoch", "0", "epochs in all; 0: no limit").unit("epochs").min(0);
  group
      .real("stop-time-hours", "0",
            "stops (and saves) after this time, that of the runs it goes on with included; 0: no limit")
      .unit("hours")
      .min(0);
  group.real("stop-min-lr", "-1.0", "stops before an epoch when the learning rate is not above this");
}

void declare_schedule(config::OptionTable& table) {
  OptionGroup group(table, option_group::kSchedule);
  group.choice("lr-scheduler", "fixed", lr_scheduler_names(), "how the learning rate changes");
  group.integer("warmup-updates", "", "updates of linear warm-up; default: 4000 for inverse_sqrt, else 0")
      .unit("updates")
      .min(0);
  group.real(
      "warmup-init-lr", "-1",
      "cosine, inverse_sqrt, reduce_lr_on_plateau: learning rate at the start of the warm-up; negative: "
      "min-lr for cosine, else 0");
  group.real("min-lr", "0.0", "cosine: lowest learning rate").min(0);
  group
      .real("lr-period-updates", "",
            "cosine, triangular: updates of the first period; default: max-update less the warm-up for "
            "cosine, else 5000")
      .unit("updates");
  group.real("t-mult", "1", "cosine: every period is this many times as long as the one before").min(0);
  group.real("lr-shrink", "0.1", "factor of the learning rate from period to period, or at each annealing")
      .min(0);
  group.integer("force-anneal", "", "fixed: anneals from this epoch on").unit("epochs").min(0);
  group.real("end-learning-rate", "0.0", "polynomial_decay: learning rate at the end").min(0);
  group.real("power", "1.0", "polynomial_decay: exponent").min(0);
  group.integer("total-num-update", "", "polynomial_decay: updates until the end; default: max-update")
      .unit("updates")
      .min(1);
  group.real("max-lr", "", "triangular: highest learning rate").min(0);
  group.flag("shrink-min", "triangular: the lowest learning rate shrinks too");
  group.real("lr-threshold", "1e-4", "reduce_lr_on_plateau: smallest relative gain that counts").min(0);
  group
      .integer("lr-patience", "0",
               "reduce_lr_on_plateau: epochs whose validation may be without gain before the rate shrinks")
      .min(0);
}

void declare_checkpoint(config::OptionTable& table) {
  OptionGroup group(table, option_group::kCheckpoint);
  group.text("save-dir", "checkpoints", "folder for checkpoints and model files");
  group.text(
      "restore-file", "checkpoint_last.qn",
      "checkpoint or model file to start from; the default is looked for in save-dir and may be missing");
  group.text("finetune-from-model", "",
             "starts a new run from these weights, unless save-dir holds a checkpoint to go on with");
  group.flag("reset-optimizer", "does not restore the optimizer, the schedule and the number of updates");
  group.flag("reset-lr-scheduler", "does not restore the schedule");
  group.flag("reset-meters", "does not restore meters and best value");
  group.flag("reset-dataloader", "starts at the first epoch");
  group.integer("save-interval", "1", "epochs between two checkpoints").unit("epochs").min(1);
  group.integer("save-interval-updates", "0", "updates between two checkpoints; 0: at epochs only")
      .unit("updates")
      .min(0);
  group.integer("keep-interval-updates", "-1", "keeps the last N checkpoints by updates; -1: all");
  group.integer("keep-interval-updates-pattern", "-1", "keeps those at multiples of N besides; -1: none");
  group.integer("keep-last-epochs", "-1", "keeps the last N checkpoints by epochs; -1: all");
  group.integer("keep-best-checkpoints", "-1", "keeps the N best checkpoints under names of their own");
  group.flag("no-epoch-checkpoints", "no checkpoint of its own for each epoch");
  group.flag("no-last-checkpoints", "no checkpoint_last.qn, but where the run is asked to stop");
  group.flag("no-save-optimizer-state",
             "checkpoints without the optimizer's state (they cannot be gone on with)");
  group.flag("no-save", "writes no checkpoint and no model file");
}

void declare_validation(config::OptionTable& table) {
  OptionGroup group(table, option_group::kValidation);
  group.text("valid-subset", "valid", "splits to validate on, separated by commas; the first one decides");
  group.integer("validate-interval", "1", "epochs between two validations").unit("epochs").min(1);
  group.integer("validate-interval-updates", "0", "updates between two validations; 0: at epochs only")
      .unit("updates")
      .min(0);
  group
      .integer("validate-after-updates", "0",
               "no validation, and no checkpoint of --save-interval-updates, before this update")
      .unit("updates")
      .min(0);
  group.flag("disable-validation", "no validation");
  group.integer("max-tokens-valid", "", "as max-tokens, for validation; default: max-tokens")
      .unit("tokens")
      .min(1);
  group.integer("batch-size-valid", "", "as batch-size, for validation; default: batch-size")
      .alias("max-sentences-valid")
      .unit("sentences")
      .min(1);
  group.choice("valid-precision", "fp32", {"fp32", "bf16"}, "arithmetic of validation");
  group.flag("skip-invalid-size-inputs-valid-test", "leaves out validation samples that are too long");
  group.flag("combine-val", "also validates on SPLIT1, SPLIT2, … as one with SPLIT")
      .alias("combine-valid-subsets");
  group.integer("max-valid-steps", "", "validates on the first N batches only")
      .alias("nval")
      .unit("batches")
      .min(1);
  group.choice("best-checkpoint-metric", "loss", {"loss", "ppl"}, "what the best checkpoint is best in");
  group.flag("maximize-best-checkpoint-metric", "the largest value is the best");
  group.integer("patience", "-1", "stops after N validations without gain; 0 or less: never");
}

void declare_progress(config::OptionTable& table) {
  OptionGroup group(table, option_group::kProgress);
  group.integer("log-interval", "100", "updates between two lines of progress").unit("updates").min(1);
  group.choice(
      "log-format", "", {"json", "none", "simple", "tqdm", "progress"},
      "tqdm or progress: one updating line (default on a terminal); simple: lines; json: JSON lines");
  group.flag("no-progress-bar", "lines instead of one updating line");
  group.text("log-file", "", "writes everything to this file too, as JSON lines");
}

void declare_machine(config::OptionTable& table) {
  OptionGroup group(table, option_group::kMachine);
  group.integer("threads", "", "threads of computation; default: one for each core").min(1).max(kMostThreads);
  group.flag("bf16", "matrix products in bfloat16; weights and gradients stay fp32");
  group.flag("fp16", "on a CPU this means --bf16");
  group.flag("memory-efficient-bf16", "the same as --bf16: weights are cast as they are used");
  group.flag("memory-efficient-fp16", "the same as --fp16");
  group.flag("amp", "--bf16 if the processor multiplies bfloat16 itself, else fp32");
  group.text("device", "cpu", "where to compute");
}

void declare_without_effect(config::OptionTable& table) {
  OptionGroup group(table, option_group::kNoEffect);
  const auto flag = [&](const char* name, const char* help) {
    group.without_effect(name, OptionType::kBool, help);
  };
  const auto text = [&](const char* name, const char* help) {
    group.without_effect(name, OptionType::kString, help);
  };
  flag("cpu", "training is on the CPU");
  text("ddp-backend", "no processes to connect");
  text("distributed-backend", "no processes to connect");
  text("distributed-port", "no processes to connect");
  flag("distributed-no-spawn", "no processes to connect");
  text("bucket-cap-mb", "no processes to connect");
  flag("find-unused-parameters", "no processes to connect");
  flag("fast-stat-sync", "no processes to connect");
  flag("broadcast-buffers", "no processes to connect");
  text("fp16-init-scale", "bfloat16 needs no loss scaling");
  text("fp16-scale-window", "bfloat16 needs no loss scaling");
  text("fp16-scale-tolerance", "bfloat16 needs no loss scaling");
  text("min-loss-scale", "bfloat16 needs no loss scaling");
  text("threshold-loss-scale", "bfloat16 needs no loss scaling");
  flag("fp16-no-flatten-grads", "gradients are never flattened");
  flag("fp16-adam-stats", "optimizer state is fp32");
  flag("use-old-adam", "the optimizer is fused where that is faster");
  text("char-embedder-highway-layers", "belongs to character embeddings, which are not used");
  text("character-embedding-dim", "belongs to character embeddings, which are not used");
  text("character-embeddings", "belongs to character embeddings, which are not used");
  text("dataset-impl", "the kind of a data file is recognized");
  text("empty-cache-freq", "no device cache");
  text("all-gather-list-size", "no processes to connect");
  text("fixed-validation-seed", "validation draws nothing");
  flag("ignore-unused-valid-subsets", "splits that are not named are never validated on");
}

}  // namespace

void declare_train_options(config::OptionTable& table) {
  declare_task(table);
  declare_model(table);
  declare_regularization(table);
  declare_optimization(table);
  declare_schedule(table);
  declare_quantization_training(table);
  declare_checkpoint(table);
  declare_validation(table);
  declare_progress(table);
  declare_machine(table);
  declare_without_effect(table);
}

void apply_architecture(config::OptionValues& values) {
  const models::Architecture& architecture = models::find_architecture(values.get_string("arch"));
  for (const auto& [name, text] : architecture.defaults) {
    values.set(name, text, config::OptionSource::kArchitecture);
  }
  if (architecture.ffn_follows_width) {
    const int64_t width = 4 * values.get_int("decoder-embed-dim");
    values.set("decoder-ffn-embed-dim", std::to_string(width), config::OptionSource::kArchitecture);
  }
}

}  // namespace quantnoise::train
