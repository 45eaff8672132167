#pragma once
// What all models of the runtime have in common: their layers and the memory they take.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quantnoise/runtime/matrix.h"

namespace quantnoise::runtime {

/// One layer as it was put together from the file.
struct LayerReport {
  std::string name;     ///< `decoder.layers.0.fc1`
  std::string kind;     ///< "linear", "embedding", "layer_norm"
  std::string scheme;   ///< "pq 256 x 8", "int4", "fp32"
  std::string tied_to;  ///< the layer that shares this one's weight and comes first; "" : none
  std::string input;    ///< quantization of the input: "int8 static", "int8 dynamic"; "" : none
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t weight_bytes = 0;              ///< of the weight in the file
  int64_t stored_bytes = 0;              ///< the same, but 0 for a tie: the sum is what the file spends
  int64_t owned_bytes = 0;               ///< held in memory beside the file
  std::shared_ptr<const Matrix> matrix;  ///< of a linear layer; null for others
};

/// Sees the inputs of linear layers on their way, x (n, columns), before they are quantized.
using ProductObserver = std::function<void(const std::string& layer, std::span<const float> x, int64_t n)>;

/// Bytes.
struct MemoryReport {
  int64_t file = 0;     ///< its bytes, mapped (0: made in memory); what was never read takes no memory
  int64_t weights = 0;  ///< held beside the file for the kernels: centroids, scales, copied codes
  int64_t cache = 0;    ///< keys and values of the sequences at hand
  int64_t work = 0;     ///< buffers of the computation: between layers, tables, decoded panels
};

}  // namespace quantnoise::runtime
