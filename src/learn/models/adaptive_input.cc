#include "learn/models/adaptive_input.h"

#include <cmath>

namespace quantnoise::models {

AdaptiveInputImpl::AdaptiveInputImpl(const TransformerLmOptions& options)
    : bands_(make_bands("adaptive-input", options.adaptive_input_cutoff, options.vocab_size,
                        options.decoder_input_dim, options.adaptive_input_factor)),
      out_dim_(options.decoder_embed_dim) {
  torch::nn::ModuleList list;
  const at::NoGradGuard no_grad;
  for (const Band& band : bands_) {
    const bool has_padding = options.padding_idx >= band.begin && options.padding_idx < band.end;
    const int64_t padding = has_padding ? options.padding_idx - band.begin : -1;
    nn::Embedding table(nn::EmbeddingOptions(band.size(), band.dim).padding_idx(padding));
    at::Tensor weight = table->weight();
    weight.normal_(0, std::pow(static_cast<double>(band.dim), -0.5));
    if (has_padding) weight[padding].zero_();
    nn::Linear projection(band.dim, out_dim_, false);
    torch::nn::init::xavier_uniform_(projection->weight());
    torch::nn::ModuleList parts;
    parts->push_back(table);
    parts->push_back(projection);
    list->push_back(parts);
    tables_.push_back(table);
    projections_.push_back(projection);
  }
  register_module("embeddings", list);
}

at::Tensor AdaptiveInputImpl::forward(const at::Tensor& tokens) {
  const at::Tensor ids = tokens.reshape({-1});
  std::vector<at::Tensor> positions, vectors;
  for (size_t i = 0; i < bands_.size(); ++i) {
    const at::Tensor here = positions_in(ids, bands_[i]);
    if (here.numel() == 0) continue;
    const at::Tensor rows = tables_[i]->forward(ids.index_select(0, here) - bands_[i].begin);
    positions.push_back(here);
    vectors.push_back(projections_[i]->forward(rows));
  }
  std::vector<int64_t> shape = tokens.sizes().vec();
  shape.push_back(out_dim_);
  if (vectors.empty()) return at::zeros(shape, at::kFloat);
  at::Tensor joined = vectors.front();
  if (vectors.size() > 1) {
    // Band by band, then back to the order of the tokens.
    const at::Tensor order = at::cat(positions);
    at::Tensor inverse = at::empty_like(order);
    inverse.index_copy_(0, order, at::arange(order.numel(), order.options()));
    joined = at::cat(vectors).index_select(0, inverse);
  }
  return joined.to(at::kFloat).view(shape);
}

}  // namespace quantnoise::models
