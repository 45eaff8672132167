#include "core/runtime/token_input.h"

#include <algorithm>
#include <cmath>

#include "quantnoise/base/error.h"

namespace quantnoise::runtime {

using architecture::Band;
using architecture::TransformerLmOptions;

TokenInput::TokenInput(const TransformerLmOptions& options, Plan& plan)
    : vocab_size_(options.vocab_size),
      dim_(options.adaptive_input ? options.decoder_embed_dim : options.decoder_input_dim) {
  const std::string name = "decoder.embed_tokens";
  if (!options.adaptive_input) {
    parts_.push_back({{0, vocab_size_, dim_}, plan.embedding(name, vocab_size_, dim_), std::nullopt});
    return;
  }
  const auto bands = architecture::make_bands("adaptive-input", options.adaptive_input_cutoff, vocab_size_,
                                              options.decoder_input_dim, options.adaptive_input_factor);
  for (size_t i = 0; i < bands.size(); ++i) {
    const Band& band = bands[i];
    const std::string path = str_cat(name, ".embeddings.", i);
    Embedding table = plan.embedding(path + ".0", band.size(), band.dim);
    parts_.push_back({band, std::move(table), plan.linear(path + ".1", band.dim, dim_, Bias::kNone)});
  }
}

void TokenInput::forward(std::span<const int64_t> tokens, float* out, Context& context) const {
  for (const int64_t token : tokens) {
    QN_REQUIRE(token >= 0 && token < vocab_size_, ErrorKind::kData, "token number: found ", token,
               ", expected 0 to ", vocab_size_ - 1);
  }
  for (const Part& part : parts_) forward_band(part, tokens, out, context);
}

void TokenInput::forward_band(const Part& part, std::span<const int64_t> tokens, float* out,
                              Context& context) const {
  std::vector<size_t> here;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= part.band.begin && tokens[i] < part.band.end) here.push_back(i);
  }
  if (!part.projection) {
    for (const size_t i : here) part.table.read(tokens[i], out + static_cast<int64_t>(i) * dim_);
    return;
  }
  if (here.empty()) return;
  const auto count = static_cast<int64_t>(here.size());
  std::vector<float> rows(here.size() * static_cast<size_t>(part.band.dim));
  std::vector<float> projected(here.size() * static_cast<size_t>(dim_));
  for (size_t i = 0; i < here.size(); ++i)
    part.table.read(tokens[here[i]] - part.band.begin, rows.data() + static_cast<int64_t>(i) * part.band.dim);
  part.projection->forward(rows.data(), count, projected.data(), context);
  for (size_t i = 0; i < here.size(); ++i)
    std::copy_n(projected.begin() + static_cast<int64_t>(i) * dim_, dim_,
                out + static_cast<int64_t>(here[i]) * dim_);
}

Positions::Positions(const TransformerLmOptions& options, Plan& plan)
    : dim_(options.decoder_embed_dim), padding_idx_(options.padding_idx) {
  if (options.no_token_positional_embeddings) return;
  if (options.decoder_learned_pos) {
    table_ = plan.embedding("decoder.embed_positions", options.max_target_positions + padding_idx_ + 1, dim_);
    return;
  }
  QN_REQUIRE(dim_ >= 4, ErrorKind::kFormat, "sinusoidal positions: found ", dim_,
             " features, expected at least 4");
  is_sinusoidal_ = true;
}

void Positions::prepare() {
  if (!is_sinusoidal_) return;
  const int64_t half = dim_ / 2;
  const auto step = static_cast<float>(-std::log(10000.0) / static_cast<double>(half - 1));
  for (int64_t i = 0; i < half; ++i) frequencies_.push_back(std::exp(static_cast<float>(i) * step));
}

void Positions::add(int64_t index, float* out) const {
  if (table_) {
    std::vector<float> row(static_cast<size_t>(dim_));
    table_->read(index, row.data());
    for (int64_t i = 0; i < dim_; ++i) out[i] += row[static_cast<size_t>(i)];
    return;
  }
  if (index == padding_idx_) return;  // zero by definition
  const auto half = static_cast<int64_t>(frequencies_.size());
  for (int64_t i = 0; i < half; ++i) {
    const float angle = static_cast<float>(index) * frequencies_[static_cast<size_t>(i)];
    out[i] += std::sin(angle);
    out[half + i] += std::cos(angle);
  }
}

}  // namespace quantnoise::runtime
