// Every option of the commands for data, evaluation, quantization and generation changes what they print or
// write; tests/train has those of `qn train`, tests/run those of `bench`.

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <iomanip>
#include <set>
#include <sstream>

#include "fixture.h"
#include "option_cases.h"
#include "quantnoise/kernels/instruction_set.h"

namespace quantnoise::cmd_test {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

/// What can be seen of a command. What it repeats of its options is no part of it: that would differ for an
/// option that is otherwise ignored.
struct Observation {
  bool failed = false;
  std::string message;  ///< of a failure
  std::string printed;
  std::map<std::string, std::string> files;

  bool operator==(const Observation&) const = default;
};

std::string without_repeated(const std::string& line) {
  json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return line;
  for (const char* key :
       {"seconds", "path", "split", "tokens_per_sample", "sample_break_mode", "context_window", "precision",
        "method", "scheme", "prompt", "bytes", "mode", "bits"}) {
    object.erase(key);
  }
  for (json& value : object) {
    if (!value.is_number_float()) continue;
    std::ostringstream rounded;  // sums of fp32 products in another order
    rounded << std::setprecision(5) << value.get<double>();
    value = rounded.str();
  }
  return object.dump();
}

/// A model file without its history, which repeats options. A file of another kind: as it is.
std::string without_history(const std::string& content) {
  constexpr size_t kLengthBytes = 8;  // of the header of a safetensors file, which is JSON
  if (content.size() < kLengthBytes) return content;
  uint64_t length = 0;
  std::memcpy(&length, content.data(), kLengthBytes);
  json header = json::parse(content.substr(kLengthBytes, length), nullptr, /*allow_exceptions=*/false);
  if (!header.is_object() || !header["__metadata__"].contains("quantnoise")) return content;
  json manifest = json::parse(header["__metadata__"]["quantnoise"].get<std::string>());
  manifest.erase("history");
  header["__metadata__"] = manifest;
  return header.dump() + content.substr(kLengthBytes + length);
}

/// An option as --help lists it.
struct Listed {
  std::string name;
  bool takes_value = false;
  bool has_effect = true;
};

std::vector<Listed> options_in(const std::string& help) {
  std::vector<Listed> options;
  std::istringstream stream(help);
  bool has_effect = true;
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty() && line[0] != ' ') has_effect = line != "without effect here:";
    if (!line.starts_with("  --")) continue;
    const std::string words = line.substr(0, line.find("  ", 2));
    const std::string name = words.substr(4, words.find_first_of(", ", 4) - 4);
    const std::string last = words.substr(words.rfind(' ') + 1);
    options.push_back({name, !last.starts_with("-"), has_effect});
  }
  return options;
}

Words joined(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

class OptionTest : public CommandTest {
 protected:
  void make_world() const {
    prepare_data();
    // Rates of dropout and the like do not matter; two layers do, and options that evaluation has to find.
    const Words options = {
        "--decoder-layers",    "2",        "--max-update",           "40", "--tokens-per-sample",      "16",
        "--sample-break-mode", "complete", "--max-target-positions", "64", "--output-dictionary-size", "25"};
    qn_ok(train_arguments(path("model"), options));
    qn_ok(train_arguments(path("other"), joined(options, {"--seed", "2"})));
    write("plain.txt", "It's over, said the light.\nThe model: noise.\n");
    write("few.txt", "the 3\nlight 2\n");
    stages_yaml();
  }

  /// "@name" is a path of the fixture; "@@" is the mark of pieces.
  Words completed(const Words& words) const {
    Words all = words;
    for (std::string& word : all) {
      if (word.starts_with("@@")) continue;
      for (size_t at = word.find('@'); at != std::string::npos; at = word.find('@', at + 1))
        word.replace(at, 1, path(""));
    }
    return all;
  }

  Observation observe(const std::string& command, const Words& words) const {
    std::filesystem::create_directories(path("out"));
    const Result result = qn(joined({command}, completed(words)));
    Observation seen;
    seen.failed = result.exit_code != 0;
    if (seen.failed) seen.message = result.err;
    std::istringstream stream(result.out);
    for (std::string line; std::getline(stream, line);) seen.printed += without_repeated(line) + "\n";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path("out"))) {
      if (!entry.is_regular_file()) continue;
      std::string content = read_file(entry.path());
      if (entry.path().extension() == ".json") content = without_repeated(content);
      if (entry.path().extension() == ".qn") content = without_history(content);
      seen.files[std::filesystem::relative(entry.path(), path("out"))] = content;
    }
    std::filesystem::remove_all(path("out"));
    return seen;
  }

  std::vector<Listed> listed(const std::string& command) const {
    return options_in(qn_ok({command, "--help"}).out);
  }
};

class CommandOptions : public OptionTest, public testing::WithParamInterface<CommandCases> {
 protected:
  Observation seen(const Words& more) const {
    return observe(GetParam().command, joined(GetParam().usual, more));
  }
  /// The run without the option, made once.
  const Observation& base_of(const Words& base) {
    const auto [found, is_new] = bases_.try_emplace(base);
    if (is_new) {
      found->second = seen(base);
      EXPECT_FALSE(found->second.failed) << found->second.message;
      EXPECT_TRUE(found->second == seen(base)) << "two runs with the same options differ";
    }
    return found->second;
  }
  void expect_effect(const OptionCase& item, const std::string& value) {
    const Words given = value.empty() ? Words{"--" + item.option} : Words{"--" + item.option, value};
    const Observation changed = seen(joined(item.base, given));
    EXPECT_EQ(changed.failed, item.effect == Effect::kRefuses) << changed.message;
    if (item.effect == Effect::kRefuses) {
      EXPECT_THAT(changed.message, HasSubstr("--" + item.option));
    } else if (item.effect == Effect::kNothing) {
      EXPECT_TRUE(changed == base_of(item.base)) << changed.printed;
    } else {
      EXPECT_FALSE(changed == base_of(item.base)) << "the option changes nothing";
    }
  }

 private:
  std::map<Words, Observation> bases_;
};

TEST_P(CommandOptions, EveryOneHasACase) {
  std::set<std::string> known;
  std::set<std::string> only_nothing;
  for (const OptionCase& item : GetParam().cases) {
    known.insert(item.option);
    if (item.effect == Effect::kNothing) only_nothing.insert(item.option);
  }
  for (const OptionCase& item : GetParam().cases) {
    if (item.effect != Effect::kNothing) only_nothing.erase(item.option);
    EXPECT_EQ(item.values.empty(), item.effect == Effect::kOwnTest) << item.option;
    if (item.effect != Effect::kOwnTest) continue;
    std::istringstream words(item.why);
    std::string file, suite, name;
    words >> file >> suite >> name;
    EXPECT_THAT(read_file(std::string(QN_SOURCE_DIR) + "/" + file),
                HasSubstr("(" + suite + ", " + name + ")"));
  }
  EXPECT_THAT(only_nothing, ElementsAre());
  std::set<std::string> there_are;
  for (const Listed& option : listed(GetParam().command)) {
    if (option.has_effect) there_are.insert(option.name);
  }
  EXPECT_EQ(known, there_are);
}

TEST_P(CommandOptions, ChangeResultsOrFiles) {
  make_world();
  const std::map<std::string, std::string> recipes = {
      {"preprocess", "padding-factor: 1\n"}, {"eval-lm", "context-window: 4\n"}, {"generate", "seed: 2\n"}};
  if (recipes.contains(GetParam().command)) write("recipe.yaml", recipes.at(GetParam().command));
  for (const OptionCase& item : GetParam().cases) {
    for (const std::string& value : item.values) {
      SCOPED_TRACE("--" + item.option + " " + value);
      expect_effect(item, value);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, CommandOptions, testing::ValuesIn(command_cases()), [](const auto& info) {
  std::string name = info.param.command;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

class ThreadsOption : public OptionTest {};

TEST_F(ThreadsOption, IsTheNumberOfThreads) {
  make_world();
  write("long.txt", sample_text(60000, 4));
  const std::vector<Words> commands = {
      {"eval-lm", "@data-bin", "--path", "@model/model.qn", "--gen-subset", "valid"},
      {"quantize", "@model/model.qn", "--config", "@stages.yaml", "-o", "@pq.qn"},
      {"generate", "--path", "@model/model.qn", "--prompt", "the"},
      {"preprocess", "--trainpref", "@long.txt", "--destdir", "@long-bin"},
  };
  for (const Words& command : commands) {
    SCOPED_TRACE(command.front());
    const std::string option = command.front() == "preprocess" ? "--workers" : "--threads";
    const auto most_threads = [&](const std::string& number) {
      return Process(completed(joined(command, {option, number})), folder_).most_threads();
    };
    EXPECT_EQ(most_threads("1"), 1);
    EXPECT_GE(most_threads("4"), 4);
  }
}

class OptionsWithoutEffect : public OptionTest {};

TEST_F(OptionsWithoutEffect, AreNamedOnceAndChangeNothing) {
  make_world();
  int num_commands = 0;
  for (const CommandCases& command : command_cases()) {
    SCOPED_TRACE(command.command);
    Words given;
    Words names;
    for (const Listed& option : listed(command.command)) {
      if (option.has_effect) continue;
      names.push_back("--" + option.name);
      given.push_back("--" + option.name);
      if (option.takes_value) given.emplace_back("1");
    }
    if (names.empty()) continue;
    ++num_commands;
    EXPECT_TRUE(observe(command.command, joined(command.usual, given)) ==
                observe(command.command, command.usual));
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    const Result result = qn_ok(joined({command.command}, completed(joined(command.usual, given))));
    EXPECT_THAT(result.err, HasSubstr("options without effect here: " + list + "\n"));
  }
  EXPECT_GE(num_commands, 1);
}

class PostProcessOption : public OptionTest {};

TEST_F(PostProcessOption, JoinsPieces) {
  write("pieces.txt", "un@@ heard of\nof un@@ seen light\nlight un@@ heard\n");
  qn_ok({"preprocess", "--trainpref", path("pieces.txt"), "--validpref", path("pieces.txt"), "--destdir",
         path("data-bin")});
  const std::string model = train_model();
  const Words usual = {
      "@data-bin",           "--path",       model, "--gen-subset", "valid", "--sample-break-mode", "eos",
      "--output-word-stats", "--log-format", "json"};
  const Observation pieces = observe("eval-lm", usual);
  EXPECT_THAT(pieces.printed, HasSubstr("un@@\t3\t"));
  EXPECT_THAT(pieces.printed, HasSubstr(R"("tokens":13)"));
  for (const Words& option :
       {Words{"--post-process", "subword_nmt"}, Words{"--remove-bpe", "@@ "}, Words{"--remove-bpe"}}) {
    const Observation words = observe("eval-lm", joined(usual, option));
    EXPECT_THAT(words.printed, HasSubstr("unheard\t2\t"));
    EXPECT_THAT(words.printed, HasSubstr(R"("tokens":10)"));
  }
}

class PrecisionOptions : public OptionTest {};

TEST_F(PrecisionOptions, AreThoseOfTheProduct) {
  make_world();
  const Words evaluate = {"@data-bin", "--path", "@model/model.qn", "--gen-subset", "valid",
                          "--threads", "1",      "--log-format",    "json"};
  // A beam's scores show the arithmetic.
  const Words generate = {"--path", "@model/model.qn", "--prompt", "the",          "--beam",
                          "2",      "--threads",       "1",        "--log-format", "json"};
  for (const auto& [command, usual] : {std::pair("eval-lm", evaluate), std::pair("generate", generate)}) {
    SCOPED_TRACE(command);
    const Observation fp32 = observe(command, usual);
    const Observation bf16 = observe(command, joined(usual, {"--bf16"}));
    const Observation amp = observe(command, joined(usual, {"--amp"}));
    EXPECT_FALSE(fp32 == bf16);
    EXPECT_TRUE(observe(command, joined(usual, {"--fp16"})) == bf16);
    EXPECT_TRUE(amp == (kernels::has_bf16_products() ? bf16 : fp32));
    EXPECT_FALSE(fp32.failed || bf16.failed || amp.failed);
  }
}

class StoredOptions : public OptionTest {};

TEST_F(StoredOptions, AreTakenWhereNoneIsGiven) {
  make_world();
  const Words usual = {"@data-bin",    "--path", "@model/model.qn", "--gen-subset", "valid",
                       "--log-format", "json"};
  const Observation stored = observe("eval-lm", usual);
  EXPECT_TRUE(observe("eval-lm", joined(usual, {"--tokens-per-sample", "16", "--sample-break-mode",
                                                "complete", "--output-dictionary-size", "25"})) == stored);
  for (const auto& [option, fallback] :
       {std::pair("--tokens-per-sample", "64"), std::pair("--sample-break-mode", "none"),
        std::pair("--output-dictionary-size", "-1")}) {
    EXPECT_FALSE(observe("eval-lm", joined(usual, {option, fallback})) == stored) << option;
  }
}

TEST_F(StoredOptions, OfSeveralFoldersTheFirstIsEvaluated) {
  make_world();
  const Words usual = {"--path", "@model/model.qn", "--gen-subset", "valid", "--log-format", "json"};
  const Observation one = observe("eval-lm", joined(usual, {"@data-bin"}));
  EXPECT_TRUE(observe("eval-lm", joined(usual, {"@data-bin:@nowhere"})) == one);
  std::filesystem::copy(path("data-bin"), path("a:b"));
  EXPECT_TRUE(observe("eval-lm", joined(usual, {"@a:b"})) == one);
}

// An option that takes one word or none does not blame another one for a wrong word.
TEST_F(PostProcessOption, NamesWhatItExpects) {
  const Result result = qn({"eval-lm", "--path", "m.qn", "--remove-bpe", "sentencepiece", "data-bin"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err,
            "error: option --remove-bpe: found 'sentencepiece', expected subword_nmt, @@  or nothing\n");
}

}  // namespace
}  // namespace quantnoise::cmd_test
