#include "option_cases.h"

namespace quantnoise::cmd_test {
namespace {

using Cases = std::vector<OptionCase>;

const char* const kThreads = "tests/cmd/option_effects_test.cc ThreadsOption IsTheNumberOfThreads";
const char* const kPrecision = "tests/cmd/option_effects_test.cc PrecisionOptions AreThoseOfTheProduct";

Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// Of every command that takes recipes; the recipe's option must be one that counts.
Cases recipe_cases() { return {{"config", {}, {"@recipe.yaml"}}, {"dump-config", {}, {""}}}; }

Cases precision_cases() {
  return {{"bf16", {}, {}, Effect::kOwnTest, kPrecision},
          {"fp16", {}, {}, Effect::kOwnTest, kPrecision},
          {"amp", {}, {}, Effect::kOwnTest, kPrecision}};
}

CommandCases preprocess() {
  const Words dictionary = {"--srcdict", "@data-bin/dict.txt"};
  return {"preprocess",
          {"--trainpref", "@train.txt", "--destdir", "@out"},
          Cases{
              {"trainpref", {}, {"@valid.txt", "@train.txt,@valid.txt"}},
              {"validpref", {}, {"@valid.txt"}},
              {"testpref", {}, {"@test.txt"}},
              {"only-source", {}, {"false"}, Effect::kRefuses},
              {"only-source", {}, {""}, Effect::kNothing, "there is one language anyway"},
              {"tokenizer", {"--trainpref", "@plain.txt"}, {"words"}},
              {"tokenizer", Words{"--trainpref", "@plain.txt"} + dictionary, {"space"}},
              {"srcdict", {}, {"@few.txt"}},
              {"thresholdsrc", {}, {"60"}},
              {"nwordssrc", {}, {"20"}},
              {"padding-factor", {}, {"1"}},
              {"destdir", {}, {"@out/further"}},
              {"workers", {}, {"3"}, Effect::kNothing, "the same files, whoever makes them"},
              {"workers", {}, {}, Effect::kOwnTest, kThreads},
          }};
}

CommandCases evaluation() {
  const char* const windows = "tests/train/eval_windows_test.cc EvalWindows BatchesHaveTheSizeAskedFor";
  return {"eval-lm",
          {"@data-bin", "--path", "@model/model.qn", "--gen-subset", "valid", "--threads", "1",
           "--log-format", "json"},
          Cases{
              {"path", {}, {"@other/model.qn"}},
              {"gen-subset", {}, {"test"}},
              {"tokens-per-sample", {}, {"10"}},
              {"sample-break-mode", {}, {"none", "eos"}},
              {"output-dictionary-size", {}, {"26", "-1"}},
              {"context-window", {}, {"4"}},
              {"max-tokens", {}, {"3"}, Effect::kRefuses},
              {"max-tokens", {}, {}, Effect::kOwnTest, windows},
              {"batch-size", {}, {"1", "3"}, Effect::kNothing, "sums do not depend on the batches"},
              {"batch-size", {}, {}, Effect::kOwnTest, windows},
              {"softmax-batch", {}, {"7"}, Effect::kNothing, "sums do not depend on the parts"},
              {"softmax-batch", {}, {}, Effect::kOwnTest, windows},
              {"output-word-probs", {}, {""}},
              {"output-word-stats", {}, {""}},
              {"post-process",
               {},
               {},
               Effect::kOwnTest,
               "tests/cmd/option_effects_test.cc PostProcessOption JoinsPieces"},
              {"results-json", {}, {"@out/results.json"}},
              {"log-format", {}, {"simple", "none", "tqdm"}},
              {"threads", {}, {}, Effect::kOwnTest, kThreads},
          }};
}

CommandCases quantization() {
  const Words int4 = {"--scheme", "int4"};
  const Words inputs = int4 + Words{"--scalar-act-bits", "8"};
  const Words calibrated = int4 + Words{"--calibrate", "@data-bin"};
  const Words staged = {"--config", "@stages.yaml"};
  const std::string feed_forward = R"(decoder\.layers\.\d+\.fc1)";
  return {"quantize",
          {"@model/model.qn", "-o", "@out/model.qn", "--threads", "1", "--log-format", "json"},
          Cases{
              {"output", int4, {"@out/another.qn"}},
              {"seed", staged, {"2"}},
              {"seed", int4, {"2"}, Effect::kRefuses},
              {"scheme", int4, {"int2", "int3", "int5", "int6", "int7", "int8"}},
              {"scalar-method", int4, {"tensor", "channel", "channel-l2"}},
              {"scalar-include", int4, {feed_forward}},
              {"scalar-exclude", int4, {feed_forward}},
              {"scalar-act-bits", int4, {"4", "8"}},
              {"scalar-act-bits", inputs, {"4", "none"}},
              {"scalar-act-mode", inputs, {"static"}, Effect::kRefuses},
              {"scalar-act-mode", calibrated, {"dynamic"}, Effect::kRefuses},
              {"scalar-act-method", calibrated, {"tensor"}},
              {"scalar-act-exclude", inputs, {feed_forward}},
              {"calibrate", inputs, {"@data-bin"}},
              {"calibrate-subset", calibrated, {"valid"}},
              {"calibrate-tokens", calibrated, {"64"}},
              {"quantization-config-path", int4, {"@stages.yaml"}},
              {"pq-iterations", staged, {"1"}},
              {"pq-centroid-type", staged, {"int8"}},
              {"log-format", int4, {"simple"}},
              {"threads", {}, {}, Effect::kOwnTest, kThreads},
          }};
}

CommandCases exporting() {
  return {"export",
          {"@model/model.qn", "--output", "@out/model.qn"},
          Cases{
              {"output", {}, {"@out/another.qn"}},
              {"decoder-layers-to-keep", {}, {"0", "1"}},
              {"dequantize", {}, {""}},
          }};
}

CommandCases generation() {
  const Words beam = {"--beam", "3"};
  return {"generate",
          {"--path", "@model/model.qn", "--prompt", "the beginning", "--max-len", "12", "--stop-at-eos",
           "false", "--threads", "1"},
          Cases{
              {"path", {}, {"@other/model.qn"}},
              {"prompt", {}, {"light over"}},
              {"greedy", {}, {""}},
              {"beam", {}, {"1", "4"}},
              {"lenpen", beam + Words{"--log-format", "json", "--stop-at-eos", "true"}, {"3"}},
              {"temperature", {}, {"0.1", "4"}},
              {"sampling-topk", {}, {"2"}},
              {"sampling-topp", {}, {"0.1"}},
              {"sampling", {}, {""}, Effect::kNothing, "it samples anyway"},
              {"sampling", beam, {""}, Effect::kRefuses},
              {"unkpen", {"--temperature", "3", "--num-samples", "9"}, {"-20"}},
              {"seed", {}, {"2"}},
              {"max-len", {}, {"3"}},
              {"min-len", {"--stop-at-eos", "true", "--num-samples", "9"}, {"11"}},
              {"num-samples", {}, {"2"}},
              {"stop-at-eos", {"--num-samples", "9"}, {"true"}},
              {"log-format", {}, {"json"}},
              {"threads", {}, {}, Effect::kOwnTest, kThreads},
          }};
}

CommandCases inspection() { return {"inspect", {"@model/model.qn"}, Cases{{"json", {}, {""}}}}; }

CommandCases information() {
  return {"info", {}, Cases{{"json", {}, {""}}, {"threads", {"--threads", "2"}, {"1", "3"}}}};
}

CommandCases with(CommandCases command, const std::vector<Cases>& more) {
  for (const Cases& cases : more) command.cases.insert(command.cases.end(), cases.begin(), cases.end());
  return command;
}

}  // namespace

const std::vector<CommandCases>& command_cases() {
  static const std::vector<CommandCases> commands = {
      with(preprocess(), {recipe_cases()}),
      with(evaluation(), {precision_cases(), recipe_cases()}),
      quantization(),
      exporting(),
      with(generation(), {precision_cases(), recipe_cases()}),
      inspection(),
      information(),
  };
  return commands;
}

}  // namespace quantnoise::cmd_test
