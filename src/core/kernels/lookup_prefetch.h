#pragma once
// Codes that come into the cache while tables are built. Anonymous: every file of a set gets its own copy.

#include "quantnoise/kernels/lookup.h"

namespace quantnoise::kernels {
namespace {

/// Brings the lines of a range in, a share at every step.
class Prefetcher {
 public:
  Prefetcher(BytesAhead ahead, int64_t num_steps)
      : at_(ahead.begin + ahead.first + ahead.first / ahead.run * ahead.skip),
        left_(ahead.num_bytes),
        run_(ahead.run),
        skip_(ahead.skip),
        left_in_run_(run_ - ahead.first % run_) {
    if (num_steps > 0) step_ = (left_ / num_steps + 63) / 64 * 64;
  }
  void advance(int num_steps = 1) {
    int64_t count = num_steps * step_ < left_ ? num_steps * step_ : left_;
    left_ -= count;
    while (count > 0) {
      const int64_t some = count < left_in_run_ ? count : left_in_run_;
      for (int64_t i = 0; i < some; i += 64) __builtin_prefetch(at_ + i, 0, 2);  // second-level cache
      count -= some;
      at_ += some;
      left_in_run_ -= some;
      if (left_in_run_ == 0) {
        at_ += skip_;
        left_in_run_ = run_;
      }
    }
  }

 private:
  const uint8_t* at_;
  int64_t left_, run_, skip_, left_in_run_;
  int64_t step_ = 0;
};

}  // namespace
}  // namespace quantnoise::kernels
