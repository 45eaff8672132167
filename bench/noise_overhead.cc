// What quantization noise on every weight costs: time of a training step and peak memory of the weights' copies.
//
//   bin/noise_overhead [--json] [--steps N] [--threads N] [--types fp32,bf16]
//
// A 6-layer transformer language model, width 512, 2,048 tokens a step. One process, steps of all variants
// interleaved, medians; the ratio is of each variant's step to the step without noise in the same round.

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/models/transformer_lm.h"
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

struct Variant {
  std::string name;
  qn::quant::NoiseKind kind;
  double probability;
  std::unique_ptr<qn::train::Trainer> trainer;
  std::vector<double> seconds;
};

Variant make_variant(const std::string& name, qn::quant::NoiseKind kind, double probability, at::ScalarType type) {
  qn::models::TransformerLmOptions options;
  options.vocab_size = kVocabulary;
  options.decoder_layers = 6;
  options.decoder_normalize_before = true;
  options.share_decoder_input_output_embed = true;
  options.max_target_positions = kTokens;
  torch::manual_seed(1);
  auto model = qn::models::make_transformer_lm(options);
  qn::quant::named_slots(*model);
  if (kind != qn::quant::NoiseKind::kNone) {
    qn::quant::NoiseOptions noise;
    noise.kind = kind;
    noise.probability = probability;
    qn::quant::quant_noise(*model, noise);
  }
  auto optimizer = qn::train::make_optimizer("adamw", {});
  optimizer->bind(qn::quant::unique_parameters(*model));
  qn::train::LrSchedulerOptions schedule;
  schedule.lr = {1e-4};
  qn::train::TrainerOptions trainer;
  trainer.compute_type = type;
  return {name, kind, probability,
          std::make_unique<qn::train::Trainer>(model, qn::train::make_criterion("cross_entropy", {}), std::move(optimizer),
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

nlohmann::json measure(const std::string& type_name, at::ScalarType type, int steps) {
  std::vector<Variant> variants;
  variants.push_back(make_variant("none", qn::quant::NoiseKind::kNone, 0, type));
  variants.push_back(make_variant("pq 0.1", qn::quant::NoiseKind::kPq, 0.1, type));
  variants.push_back(make_variant("mean 0.1", qn::quant::NoiseKind::kMean, 0.1, type));
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
    rows.push_back({{"type", type_name}, {"noise", variant.name}, {"step_ms", median(variant.seconds) * 1e3},
                    {"ratio", median(ratios)}});
  }
  return rows;
}

int run(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  qn::train::set_up_torch(arguments.threads);
  nlohmann::json result = nlohmann::json::array();
  for (const auto& [name, type] : {std::pair{"fp32", at::kFloat}, std::pair{"bf16", at::kBFloat16}}) {
    if (arguments.types.find(name) == std::string::npos) continue;
    for (auto& row : measure(name, type, arguments.steps)) result.push_back(row);
  }
  if (arguments.json) {
    std::printf("%s\n", result.dump(1).c_str());
    return 0;
  }
  std::printf("%-6s %-10s %10s %8s\n", "type", "noise", "step ms", "ratio");
  for (const auto& row : result) {
    std::printf("%-6s %-10s %10.1f %8.3f\n", row["type"].get<std::string>().c_str(),
                row["noise"].get<std::string>().c_str(), row["step_ms"].get<double>(), row["ratio"].get<double>());
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
