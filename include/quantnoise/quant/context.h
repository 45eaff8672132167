#pragma once
// What every layer of a training process needs to know and no layer should carry: the noise clock, the
// compute type and the threads.

#include <torch/torch.h>

#include <cstdint>

#include "quantnoise/base/parallel.h"

namespace quantnoise::quant {

/// Which draw of the counter-based random numbers is current. The trainer sets it before every micro-batch;
/// masks are a pure function of it and of the slot's name.
struct NoiseClock {
  uint64_t seed = 1;
  uint64_t update = 0;
  uint32_t micro_batch = 0;

  bool operator==(const NoiseClock&) const = default;
};

void set_noise_clock(const NoiseClock& clock);
const NoiseClock& noise_clock();

/// Type of matrix products and of their inputs: kFloat or kBFloat16 (weights stay fp32; slots cast them).
/// Default kFloat.
void set_compute_type(at::ScalarType type);
at::ScalarType compute_type();

/// Restores the compute type at the end of the scope.
class ComputeTypeGuard {
 public:
  explicit ComputeTypeGuard(at::ScalarType type) : former_(compute_type()) { set_compute_type(type); }
  ~ComputeTypeGuard() { set_compute_type(former_); }
  ComputeTypeGuard(const ComputeTypeGuard&) = delete;
  ComputeTypeGuard& operator=(const ComputeTypeGuard&) = delete;

 private:
  at::ScalarType former_;
};

/// at::parallel_for as a base::ParallelFor, so that training uses torch's threads alone.
const base::ParallelFor& torch_parallel_for();

}  // namespace quantnoise::quant
