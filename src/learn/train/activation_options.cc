#include "learn/train/activation_options.h"

#include "learn/train/activation_plan.h"

namespace quantnoise::train {

namespace {

constexpr const char* kMode =
    "ranges of inputs: static: one for each input, calibrated and stored in the file; dynamic: every row has "
    "its own";
constexpr const char* kMethod =
    "static: range of an input: histogram: of least squared error; tensor: smallest to largest value";
constexpr const char* kExclude = "leaves inputs of layers whose name matches this regular expression in full";

}  // namespace

void declare_activations(OptionGroup& group) {
  group.choice(
      "scalar-act-bits", "", activation_bits_choices(),
      "bits of the inputs of matrix products in validation and in the model file; default: 8 when "
      "weights are quantized to int-N or --quant-noise-scalar-act is given, else as the model that is "
      "started from. Of products whose weight is quantized (also by a stage to come) or has noise");
  group.choice("scalar-act-mode", "static", {"static", "dynamic"}, kMode);
  group.choice("scalar-act-method", "histogram", {"histogram", "tensor"}, kMethod);
  group.text("scalar-act-exclude", "", kExclude);
  group
      .real("quant-noise-scalar-act", "0.0",
            "rate of noise on inputs of matrix products: elements that are quantized in training")
      .unit("probability")
      .min(0)
      .max(1);
  group
      .integer("scalar-act-calibration-updates", "",
               "updates in which a static range is observed; default: 32, at most scalar-update-step. New "
               "ranges every scalar-update-step updates and, before, after 2, 4, 8, ... times so many")
      .unit("updates")
      .min(1);
  group.integer("scalar-act-freeze-update", "", "static ranges stay from this update on; default: never")
      .unit("updates")
      .min(0);
}

void declare_calibration(OptionGroup& group) {
  group.choice(
      "scalar-act-bits", "", activation_bits_choices(),
      "bits of the inputs of products with quantized weights; default: 8 with --calibrate, else as in "
      "the model");
  group.choice("scalar-act-mode", "", {"static", "dynamic"},
               str_cat(kMode, ". Default: static with --calibrate, which it needs, else dynamic").c_str());
  group.choice("scalar-act-method", "histogram", {"histogram", "tensor"}, kMethod);
  group.text("scalar-act-exclude", "", kExclude);
  group.text("calibrate", "", "folder made by qn preprocess: static ranges of inputs are found on its text");
  group.text("calibrate-subset", "train", "split to calibrate on");
  group
      .integer("calibrate-tokens", "65536",
               "about so many tokens, spread evenly over the split; 0: all of it")
      .unit("tokens")
      .min(0);
}

}  // namespace quantnoise::train
