// The command `qn`.

#include <c10/util/Exception.h>

#include <string>

#include "quantnoise/base/error.h"
#include "quantnoise/config/yaml.h"
#include "tools/common/bench_command.h"
#include "tools/qn/commands.h"

namespace quantnoise::tool {

namespace {

/// Errors of torch; called while one is handled.
std::optional<Error> translate_torch_error() {
  try {
    throw;
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    if (message.find("can't allocate memory") != std::string::npos) {
      return Error(ErrorKind::kFailed, "not enough memory: " + message,
                   "smaller batches need less: --max-tokens");
    }
    return Error(ErrorKind::kInternal, "torch: " + message, "this is a bug in quantnoise");
  } catch (...) {
    return std::nullopt;
  }
}

Program qn() {
  Program program;
  program.name = "qn";
  program.introduction =
      "Trains neural networks with quantization noise, compresses them, and works with the compressed files.";
  program.commands = {preprocess_command(), train_command(),     quantize_command(),
                      eval_lm_command(),    generate_command(),  inspect_command(),
                      export_command(),     bench_command("qn"), info_command()};
  program.apply_recipe = config::apply_recipe;
  program.translate = translate_torch_error;
  return program;
}

}  // namespace

}  // namespace quantnoise::tool

int main(int argc, char** argv) { return quantnoise::tool::run_program(quantnoise::tool::qn(), argc, argv); }
