#include "learn/models/adaptive_softmax.h"

#include "learn/models/adaptive_input.h"
#include "quantnoise/base/error.h"
#include "quantnoise/nn/dropout.h"
#include "quantnoise/nn/functional.h"
#include "quantnoise/nn/fused.h"

namespace quantnoise::models {

namespace {

nn::Linear make_linear(int64_t in, int64_t out) {
  nn::Linear linear(in, out, false);
  const at::NoGradGuard no_grad;
  torch::nn::init::xavier_uniform_(linear->weight());
  return linear;
}

nn::Linear make_tied(const nn::Embedding& table) {
  nn::Linear linear(table->options().embedding_dim(), table->options().num_embeddings(), false);
  linear->tie_to(*table);
  return linear;
}

// Two parts under one name, without a forward pass of their own.
torch::nn::ModuleDict make_group(const std::string& first, std::shared_ptr<torch::nn::Module> first_part,
                                 const std::string& second, std::shared_ptr<torch::nn::Module> second_part) {
  using Parts = std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>>;
  return torch::nn::ModuleDict(Parts{{first, std::move(first_part)}, {second, std::move(second_part)}});
}

at::Tensor as_rows(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}); }

}  // namespace

AdaptiveSoftmaxImpl::AdaptiveSoftmaxImpl(const TransformerLmOptions& options, const AdaptiveInputImpl* tied)
    : dim_(options.decoder_output_dim),
      padding_idx_(options.padding_idx),
      dropout_(options.adaptive_softmax_dropout),
      bands_(make_bands("adaptive-softmax", options.adaptive_softmax_cutoff, options.vocab_size, dim_,
                        options.adaptive_softmax_factor)) {
  make_head(tied);
  make_tails(tied, options.tie_adaptive_proj);
}

void AdaptiveSoftmaxImpl::make_head(const AdaptiveInputImpl* tied) {
  const auto num_tails = static_cast<int64_t>(bands_.size()) - 1;
  if (tied == nullptr) {
    head_input_ = register_module("head", make_linear(dim_, bands_.front().size() + num_tails));
    head_ = {head_input_->slot()};
    return;
  }
  const nn::Linear words = make_tied(tied->table(0));
  head_input_ = words;
  head_ = {words->slot()};
  if (num_tails == 0) {
    register_module("head", words);
    return;
  }
  nn::Linear classes = make_linear(dim_, num_tails);
  register_module("head", make_group("word_proj", words.ptr(), "class_proj", classes.ptr()));
  classes->share_input(*words);
  head_.push_back(classes->slot());
}

void AdaptiveSoftmaxImpl::make_tails(const AdaptiveInputImpl* tied, bool tie_projections) {
  torch::nn::ModuleList list;
  for (size_t i = 1; i < bands_.size(); ++i) {
    Tail tail;
    tail.band = bands_[i];
    std::shared_ptr<torch::nn::Module> projection;
    if (tied != nullptr && tie_projections) {
      tail.tied_projection = nn::TransposedLinear(*tied->projection(i));
      projection = tail.tied_projection.ptr();
    } else {
      tail.own_projection = make_linear(dim_, tail.band.dim);
      projection = tail.own_projection.ptr();
    }
    tail.table = tied != nullptr ? make_tied(tied->table(i)) : make_linear(tail.band.dim, tail.band.size());
    list->push_back(make_group("0", projection, "2", tail.table.ptr()));
    tails_.push_back(std::move(tail));
  }
  register_module("tail", list);
}

at::Tensor AdaptiveSoftmaxImpl::drop(const at::Tensor& x, const std::string& purpose) const {
  if (!is_training() || dropout_ == 0) return x;
  return nn::dropout(x, dropout_, nn::activation_stream("decoder.adaptive_softmax" + purpose));
}

at::Tensor AdaptiveSoftmaxImpl::project(Tail& tail, size_t number, const at::Tensor& features) {
  const at::Tensor projected =
      tail.tied_projection ? tail.tied_projection->forward(features) : tail.own_projection->forward(features);
  return drop(projected, str_cat(".tail.", number, ".dropout"));
}

at::Tensor AdaptiveSoftmaxImpl::head_targets(const at::Tensor& targets) const {
  at::Tensor classes = targets.clone();
  for (size_t i = 0; i < tails_.size(); ++i) {
    const Band& band = tails_[i].band;
    classes.masked_fill_(targets.ge(band.begin).logical_and_(targets.lt(band.end)),
                         bands_.front().end + static_cast<int64_t>(i));
  }
  return classes;
}

nn::ChunkedLossOptions AdaptiveSoftmaxImpl::loss_options(int64_t padding_idx) const {
  nn::ChunkedLossOptions options;
  options.padding_idx = padding_idx;
  options.training = is_training();
  return options;
}

at::Tensor AdaptiveSoftmaxImpl::nll_sum(const at::Tensor& features, const at::Tensor& targets) {
  const at::Tensor rows = drop(as_rows(features), ".dropout");
  const at::Tensor flat = targets.reshape({-1});
  at::Tensor sum = nn::chunked_nll_sum(head_input_->quantized(rows), head_, head_targets(flat),
                                       loss_options(padding_idx_));
  for (size_t i = 0; i < tails_.size(); ++i) {
    const at::Tensor here = positions_in(flat, tails_[i].band);
    if (here.numel() == 0) continue;
    const at::Tensor projected = project(tails_[i], i, rows.index_select(0, here));
    const at::Tensor inside = flat.index_select(0, here) - tails_[i].band.begin;
    sum = sum + nn::chunked_nll_sum(tails_[i].table->quantized(projected), tails_[i].table->slot(), inside,
                                    loss_options(-1));
  }
  return sum;
}

at::Tensor AdaptiveSoftmaxImpl::target_log_probs(const at::Tensor& features, const at::Tensor& targets) {
  const at::NoGradGuard no_grad;
  const at::Tensor rows = drop(as_rows(features), ".dropout");
  const at::Tensor flat = targets.reshape({-1});
  at::Tensor result = nn::chunked_target_log_probs(head_input_->quantized(rows), head_, head_targets(flat),
                                                   loss_options(padding_idx_));
  for (size_t i = 0; i < tails_.size(); ++i) {
    const at::Tensor here = positions_in(flat, tails_[i].band);
    if (here.numel() == 0) continue;
    const at::Tensor projected = project(tails_[i], i, rows.index_select(0, here));
    const at::Tensor inside = flat.index_select(0, here) - tails_[i].band.begin;
    result.index_add_(0, here,
                      nn::chunked_target_log_probs(tails_[i].table->quantized(projected),
                                                   tails_[i].table->slot(), inside, loss_options(-1)));
  }
  return result.view(targets.sizes());
}

at::Tensor AdaptiveSoftmaxImpl::log_probs(const at::Tensor& features) {
  const at::NoGradGuard no_grad;
  const at::Tensor rows = drop(as_rows(features), ".dropout");
  const at::Tensor head_rows = head_input_->quantized(rows);
  std::vector<at::Tensor> scores;
  for (const auto& slot : head_) {
    scores.push_back(nn::slot_linear(head_rows, slot, at::Tensor(), is_training()).to(at::kFloat));
  }
  const at::Tensor head = at::log_softmax(at::cat(scores, 1), 1);
  const int64_t num_words = bands_.front().size();
  std::vector<at::Tensor> parts = {head.narrow(1, 0, num_words)};
  for (size_t i = 0; i < tails_.size(); ++i) {
    const at::Tensor logits = tails_[i].table->forward(project(tails_[i], i, rows)).to(at::kFloat);
    parts.push_back(at::log_softmax(logits, 1) + head.narrow(1, num_words + static_cast<int64_t>(i), 1));
  }
  std::vector<int64_t> shape = features.sizes().vec();
  shape.back() = bands_.back().end;
  return at::cat(parts, 1).view(shape);
}

}  // namespace quantnoise::models
