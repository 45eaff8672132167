#include "quantnoise/train/lr_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden_file.h"
#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

using test::read_if;
using testing::HasSubstr;

LrSchedulerOptions read_options(const nlohmann::json& object) {
  LrSchedulerOptions options;
  read_if(object, "lr", options.lr);
  read_if(object, "warmup_updates", options.warmup_updates);
  read_if(object, "warmup_init_lr", options.warmup_init_lr);
  read_if(object, "min_lr", options.min_lr);
  read_if(object, "lr_period_updates", options.lr_period_updates);
  read_if(object, "t_mult", options.t_mult);
  read_if(object, "lr_shrink", options.lr_shrink);
  read_if(object, "force_anneal", options.force_anneal);
  read_if(object, "end_learning_rate", options.end_learning_rate);
  read_if(object, "power", options.power);
  read_if(object, "total_num_update", options.total_num_update);
  read_if(object, "max_lr", options.max_lr);
  read_if(object, "shrink_min", options.shrink_min);
  read_if(object, "lr_threshold", options.lr_threshold);
  read_if(object, "lr_patience", options.lr_patience);
  read_if(object, "maximize_metric", options.maximize_metric);
  read_if(object, "max_update", options.max_update);
  return options;
}

TEST(LrScheduler, GivesTheGoldenRates) {
  for (const auto& item : test::golden_file("schedules.json").at("cases")) {
    SCOPED_TRACE(item.at("name").get<std::string>() + " " + item.at("options").dump());
    const auto scheduler = make_lr_scheduler(item.at("name"), read_options(item.at("options")));
    const std::vector<double> expected = item.at("lr");
    if (item.contains("metrics")) {
      const std::vector<double> metrics = item.at("metrics");
      for (size_t i = 0; i < metrics.size(); ++i) {
        scheduler->end_epoch(static_cast<int64_t>(i) + 1, metrics[i], 10);
        EXPECT_NEAR(scheduler->lr(10), expected[i], 1e-12 * expected[i]) << "after validation " << i;
      }
      continue;
    }
    if (item.contains("epoch")) scheduler->begin_epoch(item.at("epoch"));
    const std::vector<int64_t> updates = item.at("updates");
    for (size_t i = 0; i < updates.size(); ++i) {
      EXPECT_NEAR(scheduler->lr(updates[i]), expected[i], 1e-9 * expected[i] + 1e-18)
          << "update " << updates[i];
    }
  }
}

TEST(LrScheduler, PlateauGoesOnFromItsState) {
  LrSchedulerOptions options;
  options.lr = {0.4};
  options.lr_patience = 1;
  const auto whole = make_lr_scheduler("reduce_lr_on_plateau", options);
  const auto first = make_lr_scheduler("reduce_lr_on_plateau", options);
  const auto second = make_lr_scheduler("reduce_lr_on_plateau", options);
  for (const double metric : {3.0, 3.5}) {
    whole->end_epoch(1, metric, 5);
    first->end_epoch(1, metric, 5);
  }
  second->load_state(first->state());
  for (const double metric : {3.6, 3.7, 3.8}) {
    whole->end_epoch(1, metric, 5);
    second->end_epoch(1, metric, 5);
    EXPECT_EQ(whole->lr(5), second->lr(5));
  }
  EXPECT_LT(whole->lr(5), 0.4);
}

void expect_refused(const std::string& name, const LrSchedulerOptions& options, const std::string& text) {
  try {
    make_lr_scheduler(name, options);
    FAIL() << "no error for " << name;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_THAT(std::string(error.what()), HasSubstr(text));
  }
}

TEST(LrScheduler, RefusesOptionsItCannotWorkWith) {
  LrSchedulerOptions options;
  expect_refused("cosine", options, "--lr-period-updates or --max-update");
  expect_refused("polynomial_decay", options, "--total-num-update or --max-update");
  expect_refused("triangular", options, "--max-lr");
  expect_refused("linear", options, "unknown value 'linear' of --lr-scheduler");
  options.lr = {0.1, 0.2};
  expect_refused("inverse_sqrt", options, "--lr-scheduler fixed");
}

}  // namespace
}  // namespace quantnoise::train
