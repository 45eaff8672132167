#include "learn/train/scalar_setup.h"

#include "quantnoise/base/error.h"

namespace quantnoise::train {

ScalarSetup scalar_setup_without_noise(const config::OptionValues& values, int bits) {
  ScalarSetup setup;
  setup.options.bits = bits;
  setup.options.observer = codec::parse_observer(values.get_string("scalar-method"));
  setup.filter = quant::LayerFilter("--scalar", values.get_string("scalar-include"),
                                    values.get_string("scalar-exclude"));
  return setup;
}

std::optional<ScalarSetup> scalar_setup(const config::OptionValues& values) {
  const double probability = values.get_float("quant-noise-scalar");
  if (probability == 0 && !values.has_value("scalar-bits")) return std::nullopt;
  const int bits = values.has_value("scalar-bits") ? static_cast<int>(values.get_int("scalar-bits")) : 8;
  ScalarSetup setup = scalar_setup_without_noise(values, bits);
  setup.probability = probability;
  setup.options.update_step = values.get_int("scalar-update-step");
  setup.options.clipped = values.get_string("scalar-ste") == "clipped";
  return setup;
}

int parse_scalar_scheme(const std::string& name) {
  for (int bits = 2; bits <= 8; ++bits) {
    if (name == str_cat("int", bits)) return bits;
  }
  throw Error(ErrorKind::kConfig, str_cat("--scheme: found '", name, "', expected int2 to int8"));
}

}  // namespace quantnoise::train
