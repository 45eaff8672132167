// qn quantize: compresses a model by all stages of a configuration or to int-N, without finetuning.

#include "quantnoise/train/options.h"
#include "quantnoise/train/run.h"
#include "tools/common/terminal.h"
#include "tools/qn/commands.h"
#include "tools/qn/shared_options.h"

namespace quantnoise::tool {

namespace {

int run(const Invocation& invocation) { return train::run_quantize(invocation.values, terminal_output()); }

}  // namespace

Command quantize_command() {
  Command command;
  command.name = "quantize";
  command.summary = "Compresses a model to int-N or by iterative product quantization, without finetuning.";
  command.examples = {
      "qn quantize checkpoints/checkpoint_best.qn --scheme int8 -o int8.qn",
      "qn quantize checkpoints/checkpoint_best.qn --scheme int4 --scalar-method channel-l2 -o int4.qn",
      "qn quantize checkpoints/checkpoint_best.qn --config ipq.yaml -o compressed.qn",
      "qn quantize compressed.qn --pq-centroid-type int8 -o smaller.qn"};
  command.positional = {"model"};
  command.takes_recipe = false;  // --config names the quantization here
  command.declare = train::declare_quantize_options;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool
