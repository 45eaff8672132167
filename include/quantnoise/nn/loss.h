#pragma once
// Cross-entropy of a product with an output weight, by chunks of rows: at no time all logits exist.

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "quantnoise/quant/slot.h"

namespace quantnoise::nn {

struct ChunkedLossOptions {
  int64_t padding_idx = -1;  ///< this target does not count; −1: every target counts
  bool training = false;     ///< noise on the weight
  int64_t chunk_rows = 0;    ///< 0: chosen by the size of the vocabulary
};

/// Slots whose rows together are the vocabulary, one slot's after the other's.
using OutputSlots = std::vector<std::shared_ptr<quant::WeightSlot>>;

/// Σ −log softmax(features Wᵀ)[target], natural log, fp32 scalar. features: (…, dim); targets: int64, the
/// shape of features less its last dimension; W: the values of the slots, (vocabulary, dim) together.
/// Products run in the compute type, the softmax in fp32. Differentiable with respect to the features and the
/// slots' parameters: all gradients are computed in the forward pass, so backward() may run once. Errors:
/// kData for a target outside the vocabulary.
at::Tensor chunked_nll_sum(const at::Tensor& features, const OutputSlots& slots, const at::Tensor& targets,
                           const ChunkedLossOptions& options);

/// log p(target), fp32, shape of targets; 0 where the target is padding. No gradient.
at::Tensor chunked_target_log_probs(const at::Tensor& features, const OutputSlots& slots,
                                    const at::Tensor& targets, const ChunkedLossOptions& options);

/// One slot is the whole vocabulary.
inline at::Tensor chunked_nll_sum(const at::Tensor& features, const std::shared_ptr<quant::WeightSlot>& slot,
                                  const at::Tensor& targets, const ChunkedLossOptions& options) {
  return chunked_nll_sum(features, OutputSlots{slot}, targets, options);
}
inline at::Tensor chunked_target_log_probs(const at::Tensor& features,
                                           const std::shared_ptr<quant::WeightSlot>& slot,
                                           const at::Tensor& targets, const ChunkedLossOptions& options) {
  return chunked_target_log_probs(features, OutputSlots{slot}, targets, options);
}

}  // namespace quantnoise::nn
