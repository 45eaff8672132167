#pragma once
// Observers choose the range of an affine grid: of a weight at hand, or of activations that pass by in
// batches.
//
// `histogram` and `channel-l2` look for the grid of least squared error
//
//   E(scale, zero point) = Σ (x − value(x))²
//
// Candidates are ranges clipped at a falling threshold, then ends moved one at a time, then scales and zero
// points around the best by ever smaller steps. `histogram` evaluates E on 2,048 bins, taking values as
// spread evenly inside a bin (the integral is exact, from prefix sums of the first three moments: 2^bits
// terms a candidate); `channel-l2` evaluates it on the data. The winner is refined on the data: with the
// multiples k = code − zero point it gives, the best scale is Σ x·k / Σ k², and both steps are repeated while
// E falls; `histogram` does so again from the best of 32 scales nearby. The result never has a larger E than
// min–max has.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "quantnoise/base/parallel.h"
#include "quantnoise/codec/affine.h"

namespace quantnoise::codec {

enum class Observer {
  kTensor,     ///< "tensor": smallest and largest value
  kHistogram,  ///< "histogram": least squared error
  kChannel,    ///< "channel": smallest and largest value of every channel
  kChannelL2,  ///< "channel-l2": least squared error of every channel
};

/// Errors: kConfig for an unknown name.
Observer parse_observer(std::string_view name);
std::string_view observer_name(Observer observer);

struct ObserveOptions {
  Observer observer = Observer::kHistogram;
  int bits = 8;
  bool symmetric = false;
  int axis = 0;  ///< kChannel, kChannelL2: dimension of the channels
};

/// The grid of a weight of this shape, row-major. The same for any number of threads and every instruction
/// set. Errors: kConfig for bits or axis; kNumeric with the place of a NaN or infinity.
AffineGrid observe_weight(std::span<const float> weight, std::span<const int64_t> shape,
                          const ObserveOptions& options, const base::ParallelFor& parallel_for);

/// What a running observer has seen: plain numbers, for checkpoints.
struct ObserverState {
  Observer observer = Observer::kTensor;  ///< kTensor or kHistogram
  int64_t num_values = 0;
  float min = 0;  ///< smallest value, at most 0
  float max = 0;  ///< largest value, at least 0
  /// kHistogram: counts[i] values lie in [first_bin + i, first_bin + i + 1) · 2^bin_exponent.
  int bin_exponent = -126;
  int64_t first_bin = 0;
  std::vector<int64_t> counts;  ///< 2,048, or none before the first value
};

/// Gathers the range of activations over many batches. The state is a function of the values alone, neither
/// of their order nor of how they were cut into batches: bins are as wide as a power of two and begin at its
/// multiples, so that when the range grows neighbouring bins merge without loss (1,025 to 2,048 of them
/// cover the range then).
class RunningObserver {
 public:
  /// Errors: kConfig for an observer of channels.
  explicit RunningObserver(Observer observer);
  /// Goes on from a state. Errors: kFormat when it contradicts itself.
  explicit RunningObserver(ObserverState state);

  /// Errors: kNumeric for a NaN or infinity; then nothing of the batch is kept.
  void observe(std::span<const float> values, const base::ParallelFor& parallel_for);
  /// bf16 bits.
  void observe(std::span<const uint16_t> values, const base::ParallelFor& parallel_for);

  bool empty() const { return state_.num_values == 0; }
  const ObserverState& state() const { return state_; }

  /// Errors: kData when nothing has been observed; kConfig for bits.
  AffineGrid grid(int bits, bool symmetric) const;

 private:
  ObserverState state_;
};

}  // namespace quantnoise::codec
