#pragma once
// Raw pointers of tensors for the kernels, and the ranges in which element-wise passes run.

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <cstdint>

#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"

namespace quantnoise::nn {

/// Elements a thread takes at a time: fixed, a multiple of every kernel's group of draws.
constexpr int64_t kElementGrain = 16384;

inline const float* floats(const at::Tensor& tensor) { return tensor.const_data_ptr<float>(); }
inline float* mutable_floats(const at::Tensor& tensor) { return tensor.mutable_data_ptr<float>(); }
inline const uint16_t* halves(const at::Tensor& tensor) {
  return reinterpret_cast<const uint16_t*>(tensor.const_data_ptr<at::BFloat16>());
}
inline uint16_t* mutable_halves(const at::Tensor& tensor) {
  return reinterpret_cast<uint16_t*>(tensor.mutable_data_ptr<at::BFloat16>());
}
inline bool is_half(const at::Tensor& tensor) { return tensor.scalar_type() == at::kBFloat16; }

/// body(first, count) over [0, count) in parts that begin at multiples of kElementGrain.
template <typename Body>
void for_elements(int64_t count, const Body& body) {
  const int64_t parts = (count + kElementGrain - 1) / kElementGrain;
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kElementGrain;
    const int64_t last = std::min(count, end * kElementGrain);
    body(first, last - first);
  });
}

inline void require_fused_input(const at::Tensor& x, double p) {
  QN_REQUIRE(p >= 0 && p <= 1, ErrorKind::kConfig, "dropout: found probability ", p, ", expected 0 to 1");
  QN_REQUIRE(x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16),
             ErrorKind::kUnsupported, "dropout: found ", x.scalar_type(), " on ", x.device(),
             ", expected float or bfloat16 on the CPU");
}

/// A stream's words in an autograd node.
inline std::vector<int64_t> stream_words(const base::RandomStream& stream) {
  return {stream.key[0], stream.key[1], stream.update, stream.micro_batch};
}
inline base::RandomStream stream_from_words(const std::vector<int64_t>& words) {
  base::RandomStream stream;
  stream.key = {static_cast<uint32_t>(words[0]), static_cast<uint32_t>(words[1])};
  stream.update = static_cast<uint32_t>(words[2]);
  stream.micro_batch = static_cast<uint32_t>(words[3]);
  return stream;
}

}  // namespace quantnoise::nn
