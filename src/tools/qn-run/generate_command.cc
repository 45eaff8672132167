// qn-run generate: continues text.

#include "quantnoise/config/option_group.h"
#include "quantnoise/runtime/generate.h"
#include "tools/common/generation_options.h"
#include "tools/common/process_memory.h"
#include "tools/common/session_options.h"
#include "tools/common/terminal.h"
#include "tools/qn-run/commands.h"

namespace quantnoise::tool {

namespace {

void declare(config::OptionTable& table) {
  config::OptionGroup input(table, "input");
  input.text("model", "", "model file (positional)").alias("path");
  declare_generation(table);
  config::OptionGroup more(table, "machine");
  more.integer("batch-size", "1", "prompts that pass through the model together").unit("prompts").min(1);
  declare_session(table);
  more.flag("verbose", "reports memory on standard error");
}

void report_memory(const runtime::Session& session) {
  const runtime::MemoryReport memory = session.memory();
  std::string text = str_cat("memory: file ", memory.file, ", beside it ", memory.weights, ", cache ",
                             memory.cache, ", buffers ", memory.work, " bytes");
  if (const auto process = process_memory())
    text += str_cat("; the process ", process->own, " of its own, ", process->peak, " in all at its peak");
  print_message(text);
}

int run(const Invocation& invocation) {
  const config::OptionValues& values = invocation.values;
  search::GenerateOptions options = generation_options(values);
  runtime::Session session(runtime::LanguageModel::open(values.get_string("model")), session_options(values));
  const auto at_once = static_cast<size_t>(values.get_int("batch-size"));
  Prompts prompts(invocation);
  for (auto next = prompts.next(at_once); !next.empty(); next = prompts.next(at_once)) {
    for (const auto& texts : runtime::generate_text(session, next, options, values.get_bool("stop-at-eos")))
      print_generated(texts, values);
    options.prompt_number += next.size();
    if (values.get_bool("verbose")) report_memory(session);
  }
  return 0;
}

}  // namespace

Command run_generate_command() {
  Command command;
  command.name = "generate";
  command.summary = "Continues text with a language model, dense or compressed.";
  command.details =
      "Chooses tokens as qn generate does, with the same random draws. What stands on standard input is a "
      "prompt a "
      "line, unless --prompt is given.";
  command.examples = {
      "qn-run generate compressed.qn --prompt \"In the beginning\" --sampling-topp 0.9 --num-samples 3",
      "qn-run generate compressed.qn --beam 4 --max-len 40 < prompts.txt"};
  command.positional = {"model"};
  command.repeatable = {"prompt"};
  command.takes_recipe = false;
  command.declare = declare;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool
