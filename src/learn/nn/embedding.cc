#include "quantnoise/base/error.h"
#include "quantnoise/nn/functional.h"
#include "quantnoise/nn/linear.h"

namespace quantnoise::nn {

EmbeddingImpl::EmbeddingImpl(const EmbeddingOptions& options) : options_(options) {
  QN_REQUIRE(options_.num_embeddings() > 0 && options_.embedding_dim() > 0, ErrorKind::kConfig,
             "Embedding: found ", options_.num_embeddings(), " rows of ", options_.embedding_dim(),
             ", expected at least 1 of each");
  const at::Tensor weight =
      at::empty({options_.num_embeddings(), options_.embedding_dim()}, at::kFloat).normal_();
  set_slot(std::make_shared<quant::WeightSlot>(quant::make_dense(weight, options_.padding_idx())));
}

at::Tensor EmbeddingImpl::forward(const at::Tensor& indices) {
  return slot_rows(indices, slot(), is_training());
}

std::map<std::string, std::string> EmbeddingImpl::attributes() const {
  return {{"num_embeddings", std::to_string(options_.num_embeddings())},
          {"embedding_dim", std::to_string(options_.embedding_dim())}};
}

at::Tensor EmbeddingImpl::weight() const { return dense_weight(); }

}  // namespace quantnoise::nn
