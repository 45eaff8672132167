// What quantization noise on every weight costs: time of a training step, and peak memory of a process that
// trains.
//
//   bin/noise_overhead [--json] [--steps N] [--threads N] [--types fp32,bf16]
//
// A 6-layer transformer language model, width 512, 2,048 tokens a step. One process, steps of all variants
// interleaved, medians; the ratio is of each variant's step to the step without noise in the same round.

#include <sys/wait.h>
#include <torch/torch.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/models/transformer_lm.h"
#include "quantnoise/quant/scalar.h"
#include "quantnoise/quant/slot.h"
#include "quantnoise/train/trainer.h"

namespace qn = quantnoise;

namespace {

constexpr int64_t kVocabulary = 8192;
constexpr int64_t kSentences = 8;
constexpr int64_t kTokens = 256;

struct Arguments {
  bool json = false;
  int steps = 20;
  int threads = 2;
  std::string types = "fp32,bf16";
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--json") {
      arguments.json = true;
      continue;
    }
    QN_REQUIRE(i + 1 < argc, qn::ErrorKind::kUsage, name, " expects a value");
    const std::string value = argv[++i];
    if (name == "--steps") {
      arguments.steps = std::stoi(value);
    } else if (name == "--threads") {
      arguments.threads = std::stoi(value);
    } else if (name == "--types") {
      arguments.types = value;
    } else {
      throw qn::Error(qn::ErrorKind::kUsage, "unknown option " + name);
    }
  }
  return arguments;
}

struct NoiseCase {
  const char* name;
  qn::quant::NoiseKind kind;  ///< of blocks
  double blocks;              ///< rate of noise on blocks
  double elements;            ///< rate of int8 noise on elements; 0: no grids
  qn::quant::ActivationMode inputs = qn::quant::ActivationMode::kNone;
  double input_elements = 0;  ///< rate of noise on inputs; 0: their ranges are observed
};
constexpr NoiseCase kCases[] = {
    {"none", qn::quant::NoiseKind::kNone, 0, 0},
    {"pq 0.1", qn::quant::NoiseKind::kPq, 0.1, 0},
    {"mean 0.1", qn::quant::NoiseKind::kMean, 0.1, 0},
    {"int 0.5", qn::quant::NoiseKind::kNone, 0, 0.5},
    {"pq + int", qn::quant::NoiseKind::kPq, 0.1, 0.5},
    {"observing", qn::quant::NoiseKind::kNone, 0, 0, qn::quant::ActivationMode::kStatic, 0},
    {"inputs 0.5", qn::quant::NoiseKind::kNone, 0, 0, qn::quant::ActivationMode::kStatic, 0.5},
    {"dynamic 0.5", qn::quant::NoiseKind::kNone, 0, 0, qn::quant::ActivationMode::kDynamic, 0.5}};

struct Variant {
  std::string name;
  std::unique_ptr<qn::train::Trainer> trainer;
  std::vector<double> seconds;
};

void quantize_inputs(torch::nn::Module& model, const NoiseCase& noise_case) {
  qn::quant::ActivationOptions options;
  options.mode = noise_case.inputs;
  options.probability = noise_case.input_elements;
  qn::quant::quantize_activations(model, options);
  if (options.mode != qn::quant::ActivationMode::kStatic) return;
  for (const auto& input : qn::quant::named_activations(model)) {
    if (options.probability > 0) {
      input.quantizer->set_grid({8, -1, {0.05f}, {128}});
    } else {
      input.quantizer->start_calibration(qn::quant::ActivationQuantizer::Calibration::kTraining);
    }
  }
}

Variant make_variant(const NoiseCase& noise_case, at::ScalarType type) {
  qn::models::TransformerLmOptions options;
  options.vocab_size = kVocabulary;
  options.decoder_layers = 6;
  options.decoder_normalize_before = true;
  options.share_decoder_input_output_embed = true;
  options.max_target_positions = kTokens;
  torch::manual_seed(1);
  auto model = qn::models::make_transformer_lm(options);
  qn::quant::named_slots(*model);
  if (noise_case.elements > 0) qn::quant::quantize_scalar(*model, qn::quant::plan_scalar(*model, {}));
  qn::quant::NoiseOptions noise;
  noise.kind = noise_case.kind;
  noise.probability = noise_case.blocks;
  noise.scalar_probability = noise_case.elements;
  qn::quant::quant_noise(*model, noise);
  quantize_inputs(*model, noise_case);
  auto optimizer = qn::train::make_optimizer("adamw", {});
  optimizer->bind(qn::quant::unique_parameters(*model));
  qn::train::LrSchedulerOptions schedule;
  schedule.lr = {1e-4};
  qn::train::TrainerOptions trainer;
  trainer.compute_type = type;
  return {noise_case.name,
          std::make_unique<qn::train::Trainer>(model, qn::train::make_criterion("cross_entropy", {}),
                                               std::move(optimizer),
                                               qn::train::make_lr_scheduler("fixed", schedule), trainer),
          {}};
}

qn::data::Batch make_batch() {
  qn::data::Batch batch;
  const at::Tensor text = torch::randint(4, kVocabulary, {kSentences, kTokens + 1}, at::kLong);
  batch.tokens = text.slice(1, 0, kTokens).contiguous();
  batch.target = text.slice(1, 1).contiguous();
  batch.lengths.assign(kSentences, kTokens);
  batch.start_indices.assign(kSentences, 0);
  batch.num_tokens = kSentences * kTokens;
  batch.num_sentences = kSentences;
  return batch;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

/// The largest resident size of this process so far, in MiB.
double peak_mib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    double kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib / 1024;
  }
  return 0;
}

/// Peak memory of three steps, in a process of its own; torch must not have been used before.
double peak_of(const NoiseCase& noise, at::ScalarType type, int threads) {
  int ends[2];
  if (pipe(ends) != 0) return 0;
  const pid_t child = fork();
  if (child == 0) {
    qn::train::set_up_torch(threads);
    Variant variant = make_variant(noise, type);
    const qn::data::Batch batch = make_batch();
    for (int step = 0; step < 3; ++step) variant.trainer->update(std::span(&batch, 1));
    const double peak = peak_mib();
    const bool written = write(ends[1], &peak, sizeof(peak)) == sizeof(peak);
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  double peak = 0;
  if (child < 0 || read(ends[0], &peak, sizeof(peak)) != sizeof(peak)) peak = 0;
  close(ends[0]);
  if (child > 0) waitpid(child, nullptr, 0);
  return peak;
}

nlohmann::json measure(const std::string& type_name, at::ScalarType type, int steps) {
  std::vector<Variant> variants;
  for (const NoiseCase& noise : kCases) {
    variants.push_back(make_variant(noise, type));
  }
  const qn::data::Batch batch = make_batch();
  for (int step = -2; step < steps; ++step) {
    for (Variant& variant : variants) {
      const auto start = std::chrono::steady_clock::now();
      variant.trainer->update(std::span(&batch, 1));
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      if (step >= 0) variant.seconds.push_back(elapsed.count());
    }
  }
  nlohmann::json rows = nlohmann::json::array();
  for (const Variant& variant : variants) {
    std::vector<double> ratios;
    for (int i = 0; i < steps; ++i) ratios.push_back(variant.seconds[i] / variants[0].seconds[i]);
    rows.push_back({{"type", type_name},
                    {"noise", variant.name},
                    {"step_ms", median(variant.seconds) * 1e3},
                    {"ratio", median(ratios)}});
  }
  return rows;
}

int run(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  const std::pair<const char*, at::ScalarType> types[] = {{"fp32", at::kFloat}, {"bf16", at::kBFloat16}};
  std::map<std::string, double> peaks;
  for (const auto& [name, type] : types) {
    if (arguments.types.find(name) == std::string::npos) continue;
    for (const NoiseCase& noise : kCases)
      peaks[qn::str_cat(name, noise.name)] = peak_of(noise, type, arguments.threads);
  }
  qn::train::set_up_torch(arguments.threads);
  nlohmann::json result = nlohmann::json::array();
  for (const auto& [name, type] : types) {
    if (arguments.types.find(name) == std::string::npos) continue;
    for (auto& row : measure(name, type, arguments.steps)) {
      row["peak_mib"] = peaks[qn::str_cat(name, row["noise"].get<std::string>())];
      result.push_back(row);
    }
  }
  if (arguments.json) {
    std::printf("%s\n", result.dump(1).c_str());
    return 0;
  }
  std::printf("%-6s %-10s %10s %8s %10s\n", "type", "noise", "step ms", "ratio", "peak MiB");
  for (const auto& row : result) {
    std::printf("%-6s %-10s %10.1f %8.3f %10.0f\n", row["type"].get<std::string>().c_str(),
                row["noise"].get<std::string>().c_str(), row["step_ms"].get<double>(),
                row["ratio"].get<double>(), row["peak_mib"].get<double>());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const qn::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return qn::exit_code(error.kind());
  }
}
