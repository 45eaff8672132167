#pragma once
// The schedules there are; the table is in lr_scheduler.cc.

#include <memory>

#include "quantnoise/train/lr_scheduler.h"

namespace quantnoise::train {

/// Warm-up, then periods of a cosine from the highest to the lowest rate (Loshchilov & Hutter, SGDR).
std::unique_ptr<LrScheduler> make_cosine(const LrSchedulerOptions& options);
/// A rate for each epoch; annealed from epoch force_anneal on.
std::unique_ptr<LrScheduler> make_fixed(const LrSchedulerOptions& options);
/// Warm-up, then lr·√(warmup / n).
std::unique_ptr<LrScheduler> make_inverse_sqrt(const LrSchedulerOptions& options);
/// Warm-up from 0, then (1 − progress)^power down to the end rate.
std::unique_ptr<LrScheduler> make_polynomial_decay(const LrSchedulerOptions& options);
/// Up and down between lr and max_lr (Smith, "Cyclical Learning Rates").
std::unique_ptr<LrScheduler> make_triangular(const LrSchedulerOptions& options);
/// Shrinks when validation stops getting better, as torch's ReduceLROnPlateau.
std::unique_ptr<LrScheduler> make_reduce_lr_on_plateau(const LrSchedulerOptions& options);

}  // namespace quantnoise::train
