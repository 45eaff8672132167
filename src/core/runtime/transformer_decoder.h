#pragma once
// transformer_lm: fairseq's decoder without encoder attention, on packed weights.

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/runtime/activation.h"
#include "core/runtime/attention.h"
#include "core/runtime/output_head.h"
#include "core/runtime/token_input.h"

namespace quantnoise::runtime {

/// What a forward pass writes between its layers.
struct DecoderBuffers {
  AlignedBuffer<float> stream, branch, hidden;
  SelfAttention::Buffers attention;
};

/// One token of a sequence, with the row of its position (Positions::add).
struct PlacedToken {
  int64_t token = 0;
  int64_t position = 0;
};

class TransformerDecoder {
 public:
  /// Asks the plan for all layers. options: checked.
  TransformerDecoder(const architecture::TransformerLmOptions& options, Plan& plan);

  /// Caches of a new sequence: one for each application of a layer.
  std::vector<LayerCache> new_caches() const;
  int64_t output_dim() const { return output_dim_; }
  const OutputHead& head() const { return *head_; }
  /// Floats that a row of activations takes in the buffers.
  int64_t floats_a_row() const;

  /// tokens: rows of all segments. The caches of the segments grow. Returns (tokens.size(), output_dim),
  /// valid until the next call with these buffers.
  const float* forward(std::span<const PlacedToken> tokens, std::span<const Segment> segments,
                       DecoderBuffers& buffers, Context& context) const;

 private:
  struct Layer {
    SelfAttention attention;
    LayerNorm attention_norm;
    Linear fc1, fc2;
    LayerNorm final_norm;
  };

  Layer make_layer(int64_t number, Plan& plan) const;
  void embed(std::span<const PlacedToken> tokens, DecoderBuffers& buffers, Context& context) const;
  void run_layer(const Layer& layer, size_t application, int64_t n, std::span<const Segment> segments,
                 DecoderBuffers& buffers, Context& context) const;

  architecture::TransformerLmOptions options_;
  int64_t dim_;
  int64_t output_dim_;
  float embed_scale_;
  Activation activation_;
  TokenInput input_;
  std::optional<Linear> project_in_;
  Positions positions_;
  std::vector<Layer> layers_;  ///< each applied share_layers times
  std::optional<LayerNorm> norm_;
  std::optional<Linear> project_out_;
  std::unique_ptr<OutputHead> head_;
};

}  // namespace quantnoise::runtime
