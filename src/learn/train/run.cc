#include "quantnoise/train/run.h"

#include "learn/train/run_options.h"
#include "learn/train/session.h"
#include "quantnoise/train/options.h"
#include "quantnoise/train/trainer.h"

namespace quantnoise::train {

int run_training(const config::OptionValues& given, const Output& output,
                 const std::function<bool()>& stop_requested) {
  config::OptionValues values = given;
  apply_architecture(values);
  set_up_torch(num_threads(values));
  Progress progress(output, log_format(values, output, values.get_bool("no-progress-bar")),
                    values.get_string("log-file"));
  return Session(values, progress, stop_requested).run();
}

}  // namespace quantnoise::train
