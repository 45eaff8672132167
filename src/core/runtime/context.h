#pragma once
// What a forward pass is handed: threads, arithmetic, memory that is used again.

#include "core/runtime/aligned_buffer.h"
#include "core/runtime/product_state.h"
#include "quantnoise/runtime/model.h"

namespace quantnoise::runtime {

struct Context {
  MultiplyOptions multiply;                     ///< with a workspace of its own
  uint64_t last_input_number = 0;               ///< see SharedInput
  const ProductObserver* on_product = nullptr;  ///< null: nobody looks
  AlignedBuffer<float> quantized;               ///< the input of a layer that quantizes it, as values
  AlignedBuffer<uint8_t> codes;                 ///< or as codes, with the grids of its rows
  AlignedBuffer<float> scales;
  AlignedBuffer<int32_t> zero_points;
  AlignedBuffer<float> statistics;            ///< of layer norms
  std::vector<AlignedBuffer<float>> scratch;  ///< one a part of a parallel loop

  const base::ParallelFor& parallel_for() const { return parallel_for_of(multiply); }
};

/// While it lives, all products have the same input.
class SharedInput {
 public:
  explicit SharedInput(Context& context) : context_(context) {
    context.multiply.input_number = ++context.last_input_number;
  }
  ~SharedInput() { context_.multiply.input_number = 0; }
  SharedInput(const SharedInput&) = delete;
  SharedInput& operator=(const SharedInput&) = delete;

 private:
  Context& context_;
};

/// Runs body(i) for 0 ≤ i < count; in the calling thread when `work` (multiplications in all) is too little
/// to be worth waking others.
template <typename Body>
void for_each_part(const Context& context, int64_t count, int64_t work, const Body& body) {
  constexpr int64_t kWorthwhile = 200'000;
  if (work < kWorthwhile || count <= 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  context.parallel_for()(count, 1, [&](int64_t i, int64_t) { body(i); });
}

}  // namespace quantnoise::runtime
