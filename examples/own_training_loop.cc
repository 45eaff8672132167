// Quantization noise in a training loop of one's own, and product quantization of the model that comes out.
//
// The layers are drop-in: quantnoise::nn::Linear instead of torch::nn::Linear. All else is plain LibTorch:
// the module, the optimizer, the loss. Three things are new: quant_noise() before training, the noise clock
// before every update, and quantize_model_() after it, once for each stage.

#include <torch/torch.h>

#include <iostream>
#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/nn/linear.h"
#include "quantnoise/quant/pq.h"
#include "quantnoise/quant/slot.h"

namespace qn = quantnoise;

namespace {

constexpr int64_t kInputs = 64;
constexpr int64_t kHidden = 256;
constexpr int64_t kClasses = 10;

struct ClassifierImpl : torch::nn::Module {
  ClassifierImpl() {
    register_module("input", input);
    register_module("hidden", hidden);
    register_module("output", output);
  }
  at::Tensor forward(const at::Tensor& x) {
    return output->forward(torch::relu(hidden->forward(torch::relu(input->forward(x)))));
  }

  qn::nn::Linear input{kInputs, kHidden};
  qn::nn::Linear hidden{kHidden, kHidden};
  qn::nn::Linear output{kHidden, kClasses};
};
TORCH_MODULE(Classifier);

struct Samples {
  at::Tensor inputs;  // (count, kInputs)
  at::Tensor labels;  // (count)
};

// Points around ten centers that overlap.
Samples make_samples(const at::Tensor& centers, int64_t count) {
  const at::Tensor labels = torch::randint(kClasses, {count}, torch::kLong);
  return {centers.index_select(0, labels) + 1.2 * torch::randn({count, kInputs}), labels};
}

double error_percent(Classifier& model, const Samples& samples) {
  const torch::NoGradGuard no_gradients;
  model->eval();  // the values the file will hold, no noise
  const at::Tensor wrong = model->forward(samples.inputs).argmax(1) != samples.labels;
  return 100.0 * wrong.to(torch::kDouble).mean().item<double>();
}

void train(Classifier& model, const Samples& samples, int64_t first_update, int64_t num_updates,
           double learning_rate) {
  std::vector<at::Tensor> parameters;  // ties once: never model->parameters()
  for (const auto& parameter : qn::quant::unique_parameters(*model)) parameters.push_back(parameter.tensor);
  torch::optim::Adam optimizer(parameters, torch::optim::AdamOptions(learning_rate));
  model->train();
  for (int64_t update = first_update; update < first_update + num_updates; ++update) {
    qn::quant::set_noise_clock({.seed = 1, .update = static_cast<uint64_t>(update), .micro_batch = 0});
    const at::Tensor batch = torch::randint(samples.labels.size(0), {128}, torch::kLong);
    optimizer.zero_grad();
    const at::Tensor scores = model->forward(samples.inputs.index_select(0, batch));
    torch::cross_entropy_loss(scores, samples.labels.index_select(0, batch)).backward();
    optimizer.step();
  }
}

// Two stages: the large matrices first, the output layer after them. The keys are those of the configuration
// files.
qn::config::QuantizationConfig two_stages() {
  qn::config::QuantizationConfig config;
  config.n_centroids["Linear"] = {"in_features", {{"*", 64}}};
  config.block_sizes["Linear"] = {"fuzzy_name", {{"*", 8}}};
  config.layers_to_quantize = {"(input|hidden)", "output"};
  return config;
}

void run() {
  torch::manual_seed(1);
  const at::Tensor centers = torch::randn({kClasses, kInputs}) * 0.35;
  const Samples training = make_samples(centers, 8192);
  const Samples test = make_samples(centers, 4096);

  Classifier model;
  qn::quant::quant_noise(*model, /*p=*/0.1, /*block_size=*/8);
  train(model, training, 0, 400, 1e-3);
  std::cout << "error of the dense model          " << error_percent(model, test) << " %\n";

  qn::codec::SizeTracker size(qn::quant::count_parameters(*model));
  const qn::config::QuantizationConfig config = two_stages();
  for (int stage = 0; stage < 2; ++stage) {
    const auto names = qn::quant::pq::quantize_model_(*model, size, config, stage);
    std::cout << "stage " << stage + 1 << " quantized " << qn::join(names, ", ") << "\n";
    std::cout << "error before finetuning           " << error_percent(model, test) << " %\n";
    // Centroids of what is quantized, weights of the rest.
    train(model, training, 400 + 100 * stage, 100, 3e-4);
    std::cout << "error after finetuning            " << error_percent(model, test) << " %\n";
  }
  std::cout << size.summary() << "\n";
}

}  // namespace

int main() {
  try {
    run();
    return 0;
  } catch (const qn::Error& error) {
    std::cerr << error.what() << (error.hint().empty() ? "" : "; hint: ") << error.hint() << "\n";
    return qn::exit_code(error.kind());
  }
}
