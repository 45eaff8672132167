// Time of one training step of a language model: forward, backward, AdamW.
//
//   bin/training_step [--steps N] [--json] [--type fp32|bf16] [--dropout P] [--adaptive] [--threads N]
//   bin/training_step --serve [--dump FILE] …
//
// The model is pre-norm, with sinusoidal positions; its output shares the embedding table, or with --adaptive
// input and softmax have bands that share tables and projections. P is the dropout of activations and of
// attention alike.
//
// --serve is for bench/peers/training_step.py, which lets a peer do its steps in between: "ready" on standard
// output, then for every line "step" on standard input one step, answered by its seconds and its loss
// (natural log, summed over the targets). --dump writes the initial weights and the batch as plain
// safetensors before that.

#include <torch/torch.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/models/transformer_lm.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/quant/slot.h"
#include "quantnoise/text/dictionary.h"
#include "quantnoise/train/model_io.h"
#include "quantnoise/train/trainer.h"

namespace qn = quantnoise;

namespace {

struct Arguments {
  bool json = false;
  bool serve = false;
  bool adaptive = false;
  std::string type = "fp32";
  std::string dump;
  double dropout = 0;
  int64_t steps = 10;
  int64_t threads = 2;
  int64_t layers = 6;
  int64_t dim = 512;
  int64_t ffn = 2048;
  int64_t heads = 8;
  int64_t vocabulary = 32768;
  int64_t sentences = 8;
  int64_t tokens = 256;
  std::vector<int64_t> cutoffs = {8192, 16384};
};

template <typename Number>
Number number(const std::string& name, std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  QN_REQUIRE(error == std::errc() && end == text.data() + text.size() && value >= 0, qn::ErrorKind::kUsage,
             name, ": found '", text, "', expected a number that is not negative");
  return value;
}

std::vector<int64_t> number_list(const std::string& name, const std::string& text) {
  std::vector<int64_t> values;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    values.push_back(number<int64_t>(name, std::string_view(text).substr(begin, end - begin)));
    begin = end + 1;
  }
  return values;
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  const std::map<std::string, bool*> flags = {
      {"--json", &a.json}, {"--serve", &a.serve}, {"--adaptive", &a.adaptive}};
  const std::map<std::string, int64_t*> counts = {{"--steps", &a.steps},
                                                  {"--threads", &a.threads},
                                                  {"--layers", &a.layers},
                                                  {"--dim", &a.dim},
                                                  {"--ffn", &a.ffn},
                                                  {"--heads", &a.heads},
                                                  {"--tokens", &a.tokens},
                                                  {"--vocabulary", &a.vocabulary},
                                                  {"--sentences", &a.sentences}};
  const std::map<std::string, std::string*> texts = {{"--type", &a.type}, {"--dump", &a.dump}};
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (flags.contains(name)) {
      *flags.at(name) = true;
      continue;
    }
    QN_REQUIRE(i + 1 < argc, qn::ErrorKind::kUsage, name, " expects a value");
    const std::string value = argv[++i];
    if (counts.contains(name)) {
      *counts.at(name) = number<int64_t>(name, value);
    } else if (texts.contains(name)) {
      *texts.at(name) = value;
    } else if (name == "--dropout") {
      a.dropout = number<double>(name, value);
    } else if (name == "--cutoffs") {
      a.cutoffs = number_list(name, value);
    } else {
      throw qn::Error(qn::ErrorKind::kUsage, "unknown option " + name);
    }
  }
  QN_REQUIRE(a.type == "fp32" || a.type == "bf16", qn::ErrorKind::kUsage, "--type: found '", a.type,
             "', expected fp32 or bf16");
  QN_REQUIRE(a.steps > 0, qn::ErrorKind::kUsage, "--steps: found 0, expected at least 1");
  return a;
}

qn::models::TransformerLmOptions model_options(const Arguments& arguments) {
  qn::models::TransformerLmOptions options;
  options.vocab_size = arguments.vocabulary;
  options.decoder_layers = arguments.layers;
  options.decoder_embed_dim = arguments.dim;
  options.decoder_ffn_embed_dim = arguments.ffn;
  options.decoder_attention_heads = arguments.heads;
  options.decoder_normalize_before = true;
  options.max_target_positions = arguments.tokens;
  options.dropout = options.attention_dropout = arguments.dropout;
  options.share_decoder_input_output_embed = !arguments.adaptive;
  if (arguments.adaptive) {
    options.adaptive_input = options.tie_adaptive_weights = options.tie_adaptive_proj = true;
    options.adaptive_input_cutoff = options.adaptive_softmax_cutoff = arguments.cutoffs;
  }
  return options;
}

std::unique_ptr<qn::train::Trainer> make_trainer(const std::shared_ptr<qn::models::LanguageModel>& model,
                                                 const Arguments& arguments) {
  auto optimizer = qn::train::make_optimizer("adamw", {});
  optimizer->bind(qn::quant::unique_parameters(*model));
  qn::train::LrSchedulerOptions schedule;
  schedule.lr = {1e-4};
  qn::train::TrainerOptions trainer;
  trainer.compute_type = arguments.type == "bf16" ? at::kBFloat16 : at::kFloat;
  const char* criterion = arguments.adaptive ? "adaptive_loss" : "cross_entropy";
  return std::make_unique<qn::train::Trainer>(model, qn::train::make_criterion(criterion, {}),
                                              std::move(optimizer),
                                              qn::train::make_lr_scheduler("fixed", schedule), trainer);
}

qn::data::Batch make_batch(const Arguments& arguments) {
  qn::data::Batch batch;
  const at::Tensor text =
      torch::randint(4, arguments.vocabulary, {arguments.sentences, arguments.tokens + 1}, at::kLong);
  batch.tokens = text.slice(1, 0, arguments.tokens).contiguous();
  batch.target = text.slice(1, 1).contiguous();
  batch.lengths.assign(static_cast<size_t>(arguments.sentences), arguments.tokens);
  batch.start_indices.assign(static_cast<size_t>(arguments.sentences), 0);
  batch.num_tokens = arguments.sentences * arguments.tokens;
  batch.num_sentences = arguments.sentences;
  return batch;
}

void dump(const std::string& path, qn::models::LanguageModel& model, const qn::data::Batch& batch) {
  qn::pack::ModelFile file = qn::train::pack_model(model, qn::text::Dictionary(), "space");
  file.tensors.emplace("batch.tokens", qn::train::to_raw_tensor(batch.tokens));
  file.tensors.emplace("batch.target", qn::train::to_raw_tensor(batch.target));
  qn::pack::write_plain_safetensors(path, file);
}

struct Step {
  double seconds;
  double loss;
};
using StepFunction = std::function<Step()>;

int serve(const StepFunction& step) {
  std::printf("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    QN_REQUIRE(line == "step", qn::ErrorKind::kUsage, "standard input: found '", line, "', expected step");
    const Step done = step();
    std::printf("%.6f %.9g\n", done.seconds, done.loss);
    std::fflush(stdout);
  }
  return 0;
}

int measure(const Arguments& arguments, const StepFunction& step) {
  constexpr int kWarmUp = 2;
  std::vector<double> seconds;
  for (int64_t i = -kWarmUp; i < arguments.steps; ++i) {
    const Step done = step();
    if (i >= 0) seconds.push_back(done.seconds);
  }
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
  const double median = seconds[seconds.size() / 2];
  const auto rate = static_cast<double>(arguments.sentences * arguments.tokens) / median;
  if (arguments.json) {
    const nlohmann::json result = {{"type", arguments.type},         {"dropout", arguments.dropout},
                                   {"adaptive", arguments.adaptive}, {"threads", arguments.threads},
                                   {"step_ms", median * 1e3},        {"tokens_per_second", rate}};
    std::printf("%s\n", result.dump(1).c_str());
  } else {
    std::printf("%s, dropout %g%s: %.1f ms a step, %.0f tokens a second\n", arguments.type.c_str(),
                arguments.dropout, arguments.adaptive ? ", adaptive" : "", median * 1e3, rate);
  }
  return 0;
}

int run(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  qn::train::set_up_torch(static_cast<int>(arguments.threads));
  torch::manual_seed(1);
  const auto model = qn::models::make_transformer_lm(model_options(arguments));
  const qn::data::Batch batch = make_batch(arguments);
  if (!arguments.dump.empty()) dump(arguments.dump, *model, batch);
  const auto trainer = make_trainer(model, arguments);
  const StepFunction step = [&] {
    const auto start = std::chrono::steady_clock::now();
    const double loss = trainer->update(std::span(&batch, 1)).loss;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    return Step{elapsed.count(), loss};
  };
  return arguments.serve ? serve(step) : measure(arguments, step);
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
