// The command `qn-run`: runs model files without any framework.

#include "tools/common/bench_command.h"
#include "tools/qn-run/commands.h"

int main(int argc, char** argv) {
  using namespace quantnoise::tool;
  Program program;
  program.name = "qn-run";
  program.introduction = "Runs the model files that qn writes, dense or compressed, without LibTorch.";
  program.commands = {run_generate_command(), run_score_command(), run_info_command(),
                      bench_command("qn-run")};
  return run_program(program, argc, argv);
}
