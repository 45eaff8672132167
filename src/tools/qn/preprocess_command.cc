// qn preprocess: text files to a dictionary and binarized splits.

#include <filesystem>

#include "quantnoise/base/error.h"
#include "quantnoise/text/preprocess.h"
#include "quantnoise/train/option_group.h"
#include "tools/common/terminal.h"
#include "tools/qn/commands.h"

namespace quantnoise::tool {

namespace {

void declare(config::OptionTable& table) {
  train::OptionGroup input(table, "input");
  input
      .text(
          "trainpref", "",
          "text files of the training splits (train, train1, ...), separated by commas; one sentence a line")
      .alias("train");
  input.text("validpref", "", "text files of validation splits, separated by commas").alias("valid");
  input.text("testpref", "", "text files of test splits, separated by commas").alias("test");
  input.flag("only-source", "one language: always so here, false is refused");
  input.choice("tokenizer", "space", text::tokenizer_names(),
               "space: the text is tokenized already, words stand between blanks; words: plain text. With "
               "--srcdict the default is that of its folder");
  train::OptionGroup dictionary(table, "dictionary");
  dictionary.text("srcdict", "", "uses this dict.txt instead of building a dictionary").alias("dict");
  dictionary.integer("thresholdsrc", "0", "words seen less often become <unk>").min(0).unit("occurrences");
  dictionary.integer(
      "nwordssrc", "-1",
      "most words in the dictionary, special symbols included, fillers of padding-factor not; -1: no limit");
  dictionary.integer("padding-factor", "8", "filler words make the number of words a multiple of this")
      .min(1);
  train::OptionGroup output(table, "output");
  output.text("destdir", "data-bin", "folder for dict.txt and the binarized splits");
  output.integer("workers", "1", "threads; the result does not depend on it").min(1).max(train::kMostThreads);
}

text::PreprocessOptions options_from(const config::OptionValues& values) {
  text::PreprocessOptions options;
  options.trainpref = values.get_string("trainpref");
  options.validpref = values.get_string("validpref");
  options.testpref = values.get_string("testpref");
  options.destdir = values.get_string("destdir");
  options.thresholdsrc = values.get_int("thresholdsrc");
  options.nwordssrc = values.get_int("nwordssrc");
  options.srcdict = values.get_string("srcdict");
  options.only_source = !values.is_explicit("only-source") || values.get_bool("only-source");
  options.workers = static_cast<int>(values.get_int("workers"));
  options.tokenizer = values.get_string("tokenizer");
  options.padding_factor = values.get_int("padding-factor");
  options.progress = [](const std::string& what, uint64_t done, uint64_t total) {
    print_status(str_cat(what, ": ", total == 0 ? 100 : 100 * done / total, " %"));
  };
  return options;
}

/// A given dictionary decides what the options of a new one would, and by which tokenizer it was counted.
void follow_dictionary(const config::OptionValues& values, text::PreprocessOptions& options) {
  if (options.srcdict.empty()) return;
  std::vector<std::string> ignored;
  for (const char* name : {"thresholdsrc", "nwordssrc", "padding-factor"}) {
    if (values.is_explicit(name)) ignored.emplace_back(name);
  }
  if (!ignored.empty())
    print_message(str_cat("options without effect beside --srcdict: --", join(ignored, ", --")));
  if (values.is_explicit("tokenizer")) return;
  const auto folder = std::filesystem::path(options.srcdict).parent_path();
  options.tokenizer = text::stored_tokenizer_name(folder.empty() ? "." : folder.string());
}

int run(const Invocation& invocation) {
  text::PreprocessOptions options = options_from(invocation.values);
  follow_dictionary(invocation.values, options);
  const text::PreprocessReport report = text::preprocess(options);
  print_status("");
  print_result(str_cat("dictionary: ", report.dictionary_size, " types"));
  for (const text::SplitReport& split : report.splits) {
    print_result(str_cat(split.split, ": ", split.text()));
    if (split.num_invalid_utf8 > 0) {
      print_message(str_cat("warning: ", split.path, ": ", split.num_invalid_utf8,
                            " ill-formed UTF-8 sequences were replaced by U+FFFD"));
    }
  }
  print_message(str_cat("wrote ", options.destdir));
  return 0;
}

}  // namespace

Command preprocess_command() {
  Command command;
  command.name = "preprocess";
  command.summary = "Makes a dictionary and binarized data from text files, in fairseq's formats.";
  command.examples = {
      "qn preprocess --trainpref train.txt --validpref valid.txt --tokenizer words --destdir data-bin"};
  command.declare = declare;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool
