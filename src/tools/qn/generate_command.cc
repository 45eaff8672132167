// qn generate: continues text.

#include "quantnoise/config/option_group.h"
#include "quantnoise/quant/context.h"
#include "quantnoise/train/generate.h"
#include "quantnoise/train/model_io.h"
#include "tools/common/generation_options.h"
#include "tools/qn/commands.h"
#include "tools/qn/shared_options.h"

namespace quantnoise::tool {

namespace {

void declare(config::OptionTable& table) {
  config::OptionGroup input(table, "input");
  input.text("path", "", "model file or checkpoint").alias("model");
  declare_generation(table);
  declare_precision(table);
  declare_threads(table);
}

int run(const Invocation& invocation) {
  const config::OptionValues& values = invocation.values;
  QN_REQUIRE(values.is_explicit("path"), ErrorKind::kUsage, "qn generate needs --path MODEL");
  search::GenerateOptions options = generation_options(values);
  apply_threads(values);
  const train::LoadedModel loaded = train::load_model(values.get_string("path"));
  quant::ComputeTypeGuard compute_type(compute_type_of(values));
  Prompts prompts(invocation);
  for (auto next = prompts.next(1); !next.empty(); next = prompts.next(1), ++options.prompt_number) {
    print_generated(
        train::generate_text(*loaded.model, loaded.dictionary, text::find_tokenizer(loaded.tokenizer),
                             next.front(), options, values.get_bool("stop-at-eos")),
        values);
  }
  return 0;
}

}  // namespace

Command generate_command() {
  Command command;
  command.name = "generate";
  command.summary = "Continues text with a language model, dense or compressed.";
  command.examples = {
      "qn generate --path compressed.qn --prompt \"In the beginning\" --sampling-topp 0.9 --num-samples 3"};
  command.repeatable = {"prompt"};
  command.declare = declare;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool
