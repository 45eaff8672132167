// qn train: trains, and with a quantization configuration compresses by stages.

#include "quantnoise/train/options.h"
#include "quantnoise/train/run.h"
#include "tools/common/terminal.h"
#include "tools/qn/commands.h"
#include "tools/qn/shared_options.h"

namespace quantnoise::tool {

namespace {

int run(const Invocation& invocation) {
  catch_interrupts();
  return train::run_training(invocation.values, terminal_output(), interrupted);
}

}  // namespace

Command train_command() {
  Command command;
  command.name = "train";
  command.summary =
      "Trains a model with quantization noise, or finetunes it through the stages of a quantization.";
  command.details =
      "Takes fairseq-train's options by name, with its defaults and meaning. Ctrl-C saves a checkpoint; the "
      "same command "
      "goes on from it, a second Ctrl-C ends at once.";
  command.examples = {
      "qn train data-bin --arch transformer_lm --optimizer adamw --lr 5e-4 --lr-scheduler cosine \\",
      "    --warmup-updates 200 --max-update 2000 --max-tokens 4096 --tokens-per-sample 256 \\",
      "    --quant-noise-pq 0.1 --save-dir checkpoints",
      "qn train data-bin --restore-file checkpoints/checkpoint_best.qn --quantization-config-path ipq.yaml "
      "\\",
      "    --optimizer adamw --lr 1e-4 --max-update 300 --max-tokens 4096 --save-dir compressed"};
  command.positional = {"data"};
  command.declare = train::declare_train_options;
  command.apply_defaults = train::apply_architecture;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool
