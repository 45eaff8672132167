#pragma once
// Averages over some updates.

#include <cstdint>
#include <map>
#include <string>

#include "learn/train/progress.h"
#include "quantnoise/train/trainer.h"

namespace quantnoise::train {

/// Bits: a natural-log value over ln 2.
double to_base2(double nats);

/// Sums over the updates since the last reset.
class Meter {
 public:
  void add(const UpdateStats& stats, double seconds);
  void reset() { *this = Meter(); }

  int64_t updates() const { return updates_; }
  double loss() const;  ///< bits a unit of sample size
  /// loss, ppl, wps, ups, wpb, bsz, gnorm, clip (percent of updates), as fairseq names them.
  void describe(Event& event) const;

  /// For checkpoints: everything but the time goes on after a resume.
  std::map<std::string, double> state() const;
  void load_state(const std::map<std::string, double>& state);

 private:
  double loss_sum_ = 0;
  int64_t sample_size_ = 0;
  int64_t tokens_ = 0;
  int64_t sentences_ = 0;
  int64_t updates_ = 0;
  int64_t clipped_ = 0;
  double norm_sum_ = 0;
  double seconds_ = 0;
};

}  // namespace quantnoise::train
