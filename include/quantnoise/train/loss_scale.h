#pragma once
// The factor of a loss whose gradients would leave the range of fp16: fairseq's DynamicLossScaler.

#include <algorithm>
#include <cstdint>

namespace quantnoise::train {

struct LossScaleOptions {
  double initial = 128;
  int64_t window = 16384;  ///< updates in a row after which the scale is doubled; see loss_scale_window()
  double threshold = 0;    ///< the scale falls no lower; 0: no such limit
  double smallest = 1e-4;  ///< a scale that would fall to this or below ends the training
};

/// fairseq's window for one process: 2^14 batches.
constexpr int64_t loss_scale_window(int64_t update_freq) {
  return std::max<int64_t>((int64_t{1} << 14) / update_freq, 1);
}

class LossScale {
 public:
  explicit LossScale(const LossScaleOptions& options) : options_(options), value_(options.initial) {}

  double value() const { return value_; }
  /// After an update: doubled when their number since the last overflow is a multiple of the window.
  void succeed();
  /// After gradients that are not finite: halved. Errors: kNumeric when there is no smaller scale; it stays.
  void overflow();

 private:
  LossScaleOptions options_;
  double value_;
  int64_t attempts_ = 0;
  int64_t last_overflow_ = -1;
};

}  // namespace quantnoise::train
