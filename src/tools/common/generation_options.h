#pragma once
// What `qn generate` and `qn-run generate` have in common: options, prompts, output.

#include <string>
#include <vector>

#include "quantnoise/search/text_generation.h"
#include "tools/common/command.h"

namespace quantnoise::tool {

/// --prompt, the choice of tokens, lengths, --log-format.
void declare_generation(config::OptionTable& table);
/// Errors: kConfig for values out of range, kUnsupported for options that do not go together.
search::GenerateOptions generation_options(const config::OptionValues& values);

/// One prompt after the other: from the command line, else the lines of standard input.
class Prompts {
 public:
  explicit Prompts(const Invocation& invocation);
  /// At most `count` further prompts; empty at the end.
  std::vector<std::string> next(size_t count);

 private:
  std::vector<std::string> given_;
  size_t position_ = 0;
  bool from_stdin_ = false;
};

/// The continuations of one prompt, and a warning for words of it that the dictionary lacks.
void print_generated(const std::vector<search::GeneratedText>& texts, const config::OptionValues& values);

}  // namespace quantnoise::tool
