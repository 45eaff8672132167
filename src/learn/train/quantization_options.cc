// Options of noise and quantization, of `qn train` and `qn quantize`.

#include "learn/train/quantization_options.h"

#include "learn/train/activation_options.h"
#include "quantnoise/train/option_group.h"
#include "quantnoise/train/options.h"

namespace quantnoise::train {
namespace {

constexpr int64_t kMostInBlock = 65536;
constexpr int64_t kMostRounds = 1'000'000;

void declare_noise(config::OptionTable& table) {
  OptionGroup group(table, option_group::kNoise);
  group.real("quant-noise-pq", "0.0", "rate of product-quantization noise on weights")
      .unit("probability")
      .min(0)
      .max(1);
  group.integer("quant-noise-pq-block-size", "8", "weights in a noise block")
      .unit("weights")
      .min(1)
      .max(kMostInBlock);
  group.real("quant-noise-pq-embeddings", "", "another rate for embeddings (input and tied output)")
      .unit("probability")
      .min(0)
      .max(1);
  group.choice("quant-noise-kind", "pq", {"pq", "pq-exact", "mean"},
               "what becomes of a chosen block: pq: zero; pq-exact: its nearest codeword; mean: its mean");
  group.boolean("quant-noise-rescale", "true",
                "kind pq: the other blocks are multiplied by 1/(1-p), as fairseq does");
  group.flag("no-quant-noise-rescale", "the same as --quant-noise-rescale false");
  group
      .real("quant-noise-scalar", "0.0",
            "rate of int-N noise on weights; above 0, weights are quantized in validation and in the model "
            "file (scalar quantization)")
      .unit("probability")
      .min(0)
      .max(1);
  group.integer("quant-noise-start-update", "0", "noise of every kind from this update on")
      .unit("updates")
      .min(0);
  group.text("quant-noise-include", "",
             "noise on blocks only of layers whose name matches this regular expression in full");
  group.text("quant-noise-exclude", R"((.*\.)?embed_positions)",
             "no noise on blocks of layers whose name matches this regular expression in full");
  group.integer("quant-noise-centroids", "256", "pq-exact: codewords a weight").min(1).max(65536);
  group.integer("quant-noise-refresh", "1000", "pq-exact: updates between two codebooks")
      .unit("updates")
      .min(1);
}

/// Of every command that quantizes weights to a grid. method_alias: a shorter name for the method, or null.
void declare_scalar_grid(OptionGroup& group, const char* method_alias) {
  {
    OptionGroup::Handle method = group.choice(
        "scalar-method", "histogram", {"tensor", "histogram", "channel", "channel-l2"},
        "range of a weight's grid: tensor: smallest to largest value; histogram: of least squared error; "
        "channel, channel-l2: the same two for every row of its own");
    if (method_alias != nullptr) method.alias(method_alias);
  }
  group.text("scalar-include", "",
             "quantizes only layers whose name matches this regular expression in full");
  group.text("scalar-exclude", "", "leaves layers whose name matches this regular expression in full");
}

void declare_scalar(config::OptionTable& table) {
  OptionGroup group(table, option_group::kScalar);
  group
      .integer("scalar-bits", "",
               "bits of a weight; default: 8 with --quant-noise-scalar. Without it, weights are quantized in "
               "validation and in the model file, and trained without noise")
      .unit("bits")
      .min(2)
      .max(8);
  declare_scalar_grid(group, nullptr);
  group
      .integer("scalar-update-step", "1000",
               "updates between two grids of a weight; new ones too at updates 1, 2, 4, 8, ... before")
      .unit("updates")
      .min(1);
  group.choice("scalar-ste", "identity", {"identity", "clipped"},
               "gradient through the noise: identity: to every element; clipped: fairseq's: none outside the "
               "range, where what is not drawn is clipped too");
  declare_activations(group);
}

/// Of every command that makes product codes.
void declare_pq(OptionGroup& group, const char* rounds, const char* centroids) {
  group.integer("pq-iterations", "20", rounds).min(1).max(kMostRounds);
  group.choice("pq-centroid-type", "fp16", {"fp16", "int8"}, centroids);
}

void declare_quantization(config::OptionTable& table) {
  OptionGroup group(table, option_group::kQuantization);
  group.text(
      "quantization-config-path", "",
      "quantizes by the stages of this YAML file; max-update or max-epoch is shared out evenly among them");
  declare_pq(
      group, "k-means rounds, also those of --quant-noise-kind pq-exact",
      "centroids in validation and in the model file; int8: one scale a codebook, and "
      "--quant-noise-scalar goes on their elements. Those of a model that is started from become int8 too");
  group.choice("pq-gradient", "sum", {"sum", "mean"}, "gradient of a centroid over its blocks");
}

}  // namespace

void declare_quantization_training(config::OptionTable& table) {
  declare_noise(table);
  declare_scalar(table);
  declare_quantization(table);
}

void declare_quantize_options(config::OptionTable& table) {
  OptionGroup task(table, option_group::kTask);
  task.text("model", "", "model or checkpoint file (positional)");
  task.text("output", "", "model file to write").alias("o");
  task.integer("seed", "1", "number the initial centroids depend on").min(0);
  OptionGroup scalar(table, option_group::kScalar);
  scalar.choice("scheme", "", {"int2", "int3", "int4", "int5", "int6", "int7", "int8"},
                "quantizes weights to that many bits (with --config: those that no stage names)");
  declare_scalar_grid(scalar, "method");
  declare_calibration(scalar);
  OptionGroup quantization(table, option_group::kQuantization);
  quantization.text("quantization-config-path", "", "stages, block sizes and centroids: a YAML file")
      .alias("config");
  declare_pq(quantization, "k-means rounds",
             "centroids in the model file; int8: one scale a codebook. Those of the model become int8 too");
  OptionGroup progress(table, option_group::kProgress);
  progress.choice("log-format", "", {"json", "none", "simple", "tqdm", "progress"}, "json: JSON lines");
  OptionGroup machine(table, option_group::kMachine);
  machine.integer("threads", "", "threads of computation; default: one for each core")
      .min(1)
      .max(kMostThreads);
}

}  // namespace quantnoise::train
