#include "tools/qn/command.h"

namespace quantnoise::tool {

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {preprocess_command(), train_command(),    quantize_command(),
                                           eval_lm_command(),    generate_command(), inspect_command(),
                                           export_command(),     info_command()};
  return all;
}

}  // namespace quantnoise::tool
