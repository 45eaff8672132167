#include "quantnoise/train/trainer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "learn/train/nonfinite.h"
#include "learn/train/tensor_memory.h"
#include "quantnoise/base/error.h"
#include "quantnoise/kernels/gradient.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::train {
namespace {

constexpr const char* kDivergedHint =
    "lower --lr, lengthen the warm-up or set --clip-norm; checkpoints saved before are as they were";

/// Σ x²; on the CPU the same bits for any number of threads.
double square_sum(const at::Tensor& gradient) {
  if (!gradient.is_cpu() || gradient.scalar_type() != at::kFloat || !gradient.is_contiguous()) {
    return gradient.to(at::kDouble).square().sum().item<double>();
  }
  constexpr int64_t kPart = 65536;
  const int64_t count = gradient.numel();
  const auto* values = gradient.const_data_ptr<float>();
  std::vector<double> parts(static_cast<size_t>((count + kPart - 1) / kPart));
  at::parallel_for(0, static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = part * kPart;
      parts[static_cast<size_t>(part)] =
          kernels::gradient_kernels().square_sum(values + first, std::min(kPart, count - first));
    }
  });
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

/// Euclidean norm over all gradients.
double total_norm(const std::vector<at::Tensor>& gradients) {
  double sum = 0;
  for (const at::Tensor& gradient : gradients) sum += square_sum(gradient);
  return std::sqrt(sum);
}

}  // namespace

Trainer::Trainer(std::shared_ptr<models::LanguageModel> model, std::unique_ptr<Criterion> criterion,
                 std::unique_ptr<Optimizer> optimizer, std::unique_ptr<LrScheduler> scheduler,
                 const TrainerOptions& options)
    : model_(std::move(model)),
      criterion_(std::move(criterion)),
      optimizer_(std::move(optimizer)),
      scheduler_(std::move(scheduler)),
      options_(options) {
  if (options.loss_scale) loss_scale_.emplace(*options.loss_scale);
}

UpdateStats Trainer::update(std::span<const data::Batch> batches) {
  const quant::ComputeTypeGuard compute_type(options_.compute_type);
  model_->train();
  optimizer_->zero_grad();
  torch::manual_seed(options_.seed + static_cast<uint64_t>(num_updates_));
  UpdateStats stats;
  stats.lr = scheduler_->lr(num_updates_);
  uint32_t micro_batch = 0;
  for (const data::Batch& batch : batches) {
    quant::set_noise_clock({options_.seed, static_cast<uint64_t>(num_updates_), micro_batch++});
    if (!batch.empty()) accumulate(batch, stats);
  }
  const double scale = gradient_scale(stats);
  if (stats.overflowed) return stats;
  optimizer_->set_lr(stats.lr);
  optimizer_->step(scale);
  if (loss_scale_) loss_scale_->succeed();
  ++num_updates_;
  return stats;
}

void Trainer::accumulate(const data::Batch& batch, UpdateStats& stats) {
  CriterionResult result = criterion_->forward(*model_, batch);
  const double loss = result.loss.item<double>();
  if (!std::isfinite(loss) && !loss_scale_) {
    std::string cause = first_nonfinite_parameter(*model_);
    if (!cause.empty()) {
      cause = str_cat("parameter ", cause, " holds values that are not finite");
    } else {
      cause =
          first_nonfinite_layer(*model_, options_.compute_type, [&] { criterion_->forward(*model_, batch); });
    }
    throw Error(
        ErrorKind::kNumeric,
        str_cat("the loss of update ", num_updates_ + 1, " is ", loss, cause.empty() ? "" : ": ", cause),
        kDivergedHint);
  }
  (loss_scale_ ? result.loss * loss_scale_->value() : result.loss).backward();
  stats.loss += loss;
  stats.sample_size += result.sample_size;
  stats.num_tokens += batch.num_tokens;
  stats.num_sentences += batch.num_sentences;
}

std::vector<at::Tensor> Trainer::all_gradients() {
  std::vector<at::Tensor> gradients;
  for (auto [name, tensor] : optimizer_->parameters()) {
    if (!tensor.requires_grad()) continue;
    if (!tensor.grad().defined()) tensor.mutable_grad() = at::zeros_like(tensor);
    gradients.push_back(tensor.grad());
  }
  return gradients;
}

double Trainer::gradient_scale(UpdateStats& stats) {
  const torch::NoGradGuard no_grad;
  const double average = 1.0 / static_cast<double>(std::max<int64_t>(stats.sample_size, 1));
  const double factor = average / (loss_scale_ ? loss_scale_->value() : 1);
  stats.gradient_norm = total_norm(all_gradients()) * factor;
  stats.overflowed = loss_scale_ && !std::isfinite(stats.gradient_norm);
  if (stats.overflowed) {
    loss_scale_->overflow();
    return 0;
  }
  if (!std::isfinite(stats.gradient_norm)) {
    const std::string culprit = nonfinite_gradient(optimizer_->parameters());
    throw Error(ErrorKind::kNumeric,
                str_cat("the gradient of update ", num_updates_ + 1, " is not finite",
                        culprit.empty() ? "" : str_cat("; nearest to the loss: parameter ", culprit)),
                kDivergedHint);
  }
  if (options_.clip_norm <= 0) return factor;
  stats.clipped = stats.gradient_norm > options_.clip_norm;
  return factor * std::min(1.0, options_.clip_norm / (stats.gradient_norm + 1e-6));
}

void set_up_torch(int num_threads) {
  keep_tensor_memory();
  at::globalContext().setDeterministicAlgorithms(/*enabled=*/true, /*warn_only=*/true);
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  if (num_threads > 0) at::set_num_threads(num_threads);
}

}  // namespace quantnoise::train
