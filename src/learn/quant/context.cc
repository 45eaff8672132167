#include "quantnoise/quant/context.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "quantnoise/base/checked.h"

namespace quantnoise::quant {

namespace {

NoiseClock current_clock;
at::ScalarType current_type = at::kFloat;

// Chunks keep base::ParallelFor's fixed bounds; torch only decides which thread runs them.
class TorchParallelFor final : public base::ParallelFor {
 public:
  void operator()(int64_t count, int64_t grain, const Body& body) const override {
    QN_INVARIANT(grain > 0);
    const int64_t num_chunks = base::ceil_div(count, grain);
    at::parallel_for(0, num_chunks, 1, [&](int64_t first, int64_t last) {
      for (int64_t chunk = first; chunk < last; ++chunk) {
        body(chunk * grain, std::min((chunk + 1) * grain, count));
      }
    });
  }
  int num_threads() const override { return at::get_num_threads(); }
};

}  // namespace

void set_noise_clock(const NoiseClock& clock) { current_clock = clock; }
const NoiseClock& noise_clock() { return current_clock; }

void set_compute_type(at::ScalarType type) {
  QN_REQUIRE(type == at::kFloat || type == at::kBFloat16, ErrorKind::kConfig, "compute type: found ",
             c10::toString(type), ", expected Float or BFloat16");
  current_type = type;
}
at::ScalarType compute_type() { return current_type; }

const base::ParallelFor& torch_parallel_for() {
  static const TorchParallelFor parallel_for;
  return parallel_for;
}

}  // namespace quantnoise::quant
