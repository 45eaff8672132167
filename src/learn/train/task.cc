#include "quantnoise/train/task.h"

#include "learn/train/registry.h"
#include "learn/train/tasks.h"

namespace quantnoise::train {
namespace {

using Factory = std::unique_ptr<Task> (*)(const config::OptionValues&);

const Registry<Factory>& registry() {
  static const Registry<Factory> table = {"--task", {{"language_modeling", make_language_modeling}}};
  return table;
}

}  // namespace

std::vector<std::string> task_names() { return registry().names(); }

std::unique_ptr<Task> make_task(const config::OptionValues& values) {
  QN_REQUIRE(!values.get_string("data").empty(), ErrorKind::kUsage, "no data folder given");
  return registry().find(values.get_string("task"))(values);
}

}  // namespace quantnoise::train
