#include "tools/common/command_line.h"

#include <algorithm>
#include <map>
#include <memory>

#include "quantnoise/base/error.h"

namespace quantnoise::tool {

namespace {

using config::OptionSource;
using config::OptionSpec;
using config::OptionTable;
using config::OptionType;

bool is_truth_value(const std::string& word) {
  return word == "true" || word == "false" || word == "True" || word == "False";
}

/// "2944--momentum" is what a shell makes of a value whose line ends without a blank before the backslash:
/// where a number runs into the name of an option, they are two words.
std::vector<std::string> without_lost_blanks(const std::vector<std::string>& words,
                                             const OptionTable& table) {
  std::vector<std::string> result;
  for (const std::string& word : words) {
    const size_t dashes = word.find("--");
    const bool starts_as_number =
        dashes != std::string::npos && dashes > 0 && word.find_first_not_of("0123456789.e") == dashes;
    if (starts_as_number && table.contains(config::canonical_name(word.substr(dashes)))) {
      result.push_back(word.substr(0, dashes));
      result.push_back(word.substr(dashes));
    } else {
      result.push_back(word);
    }
  }
  return result;
}

/// What the words behind a command say, by names of options.
struct Words {
  std::map<std::string, std::vector<std::string>> texts;
  std::vector<std::string> extras;  ///< what nothing takes
  std::string refused_choice;       ///< of a word behind an option that takes one or none: what was expected
  std::vector<std::string> recipes;
  bool help = false;
  bool dump_config = false;
};

class WordReader {
 public:
  WordReader(const Command& command, const OptionTable& table, const std::vector<std::string>& words)
      : command_(command), table_(table), words_(words) {}

  Words read() {
    bool options_end = false;
    while (next_ < words_.size()) {
      const std::string& word = words_[next_++];
      if (options_end || !is_option(word)) {
        take_argument(word);
      } else if (word == "--") {
        options_end = true;
      } else {
        take_option(word);
      }
    }
    return std::move(result_);
  }

 private:
  /// "-1" and "-" are none.
  static bool is_option(const std::string& word) {
    return word.size() > 1 && word[0] == '-' && (word[1] < '0' || word[1] > '9') && word[1] != '.';
  }

  void take_argument(const std::string& word) {
    for (const std::string& name : command_.positional) {
      std::vector<std::string>& texts = result_.texts[name];
      if (!texts.empty()) continue;
      texts.push_back(word);
      return;
    }
    result_.extras.push_back(word);
  }

  /// "--name VALUE", "--name=VALUE", "-n VALUE", "-nVALUE"; underscores are dashes.
  void take_option(const std::string& word) {
    const bool is_long = word[1] == '-';
    const size_t end = is_long ? std::min(word.find('='), word.size()) : 2;
    const std::string flag = word.substr(0, end), name = config::canonical_name(flag);
    const bool has_value = end < word.size();
    const std::string value = has_value ? word.substr(end + (word[end] == '=' ? 1 : 0)) : "";
    if (name == "help" || name == "h") {
      result_.help = true;
    } else if (command_.takes_recipe && name == "dump-config") {
      result_.dump_config = true;
    } else if (command_.takes_recipe && name == "config") {
      result_.recipes.push_back(has_value ? value : following(flag));
    } else if (!table_.contains(name)) {
      result_.extras.push_back(word);
    } else {
      const OptionSpec& spec = table_.find(name);
      result_.texts[spec.name].push_back(has_value ? value : value_of(spec, flag));
    }
  }

  std::string value_of(const OptionSpec& spec, const std::string& flag) {
    if (spec.type == OptionType::kBool) return truth_value();
    return spec.bare_text.empty() ? following(flag) : chosen(spec, flag);
  }
  /// The next word if it is one of the choices.
  std::string chosen(const OptionSpec& spec, const std::string& flag) {
    if (next_ == words_.size() || is_option(words_[next_])) return spec.bare_text;
    const std::string& word = words_[next_];
    if (std::find(spec.choices.begin(), spec.choices.end(), word) != spec.choices.end())
      return words_[next_++];
    result_.refused_choice =
        str_cat("option ", flag, ": found '", word, "', expected ", join(spec.choices, ", "), " or nothing");
    return spec.bare_text;
  }
  /// The next word, whatever it looks like, unless it is an option itself.
  std::string following(const std::string& flag) {
    const bool is_there = next_ < words_.size() && !(words_[next_].starts_with("--") &&
                                                     table_.contains(config::canonical_name(words_[next_])));
    QN_REQUIRE(is_there, ErrorKind::kUsage, "option ", flag, " needs a value");
    return words_[next_++];
  }
  std::string truth_value() {
    return next_ < words_.size() && is_truth_value(words_[next_]) ? words_[next_++] : "true";
  }

  const Command& command_;
  const OptionTable& table_;
  const std::vector<std::string>& words_;
  size_t next_ = 0;
  Words result_;
};

/// extras: words that nothing takes. An unknown option is named first: its value may have been taken for an
/// argument.
[[noreturn]] void refuse_extras(const Program& program, const Command& command, const OptionTable& table,
                                const Words& words) {
  for (const std::string& word : words.extras) {
    if (word.size() > 1 && word.front() == '-')
      table.find(word.substr(0, word.find('=')));  // throws, nearest names
  }
  if (!words.refused_choice.empty()) throw Error(ErrorKind::kUsage, words.refused_choice);
  throw Error(ErrorKind::kUsage, str_cat("unexpected argument '", words.extras.front(), "'"),
              str_cat(program.name, " ", command.name, " --help lists what is expected"));
}

void require_positional(const Program& program, const Command& command, const config::OptionValues& values) {
  for (const std::string& name : command.positional) {
    QN_REQUIRE(values.is_explicit(name), ErrorKind::kUsage, program.name, " ", command.name,
               " needs the argument ", name);
  }
}

/// Positional options come first, in their order.
std::vector<const OptionSpec*> ordered_specs(const Command& command, const OptionTable& table) {
  std::vector<const OptionSpec*> specs;
  for (const std::string& name : command.positional) specs.push_back(&table.find(name));
  for (const OptionSpec& spec : table.specs()) {
    if (std::find(specs.begin(), specs.end(), &spec) == specs.end()) specs.push_back(&spec);
  }
  return specs;
}

Invocation collect(const Program& program, const Command& command, const Words& words,
                   std::shared_ptr<const OptionTable> table) {
  Invocation invocation{table, config::OptionValues(*table), {}};
  if (!words.recipes.empty()) program.apply_recipe(words.recipes.back(), invocation.values);
  const std::vector<std::string>& repeatable = command.repeatable;
  for (const OptionSpec* spec : ordered_specs(command, *table)) {
    const auto found = words.texts.find(spec->name);
    if (found == words.texts.end() || found->second.empty()) continue;
    for (const std::string& text : found->second)
      invocation.values.set(spec->name, text, OptionSource::kCommandLine);
    if (std::find(repeatable.begin(), repeatable.end(), spec->name) != repeatable.end())
      invocation.repeated[spec->name] = found->second;
  }
  return invocation;
}

const Command& find_command(const Program& program, const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : program.commands) {
    if (command.name == name) return command;
    names.push_back(command.name);
  }
  const std::vector<std::string> nearest = nearest_names(name, names, 1);
  throw Error(ErrorKind::kUsage, str_cat("unknown command '", name, "'"),
              nearest.empty() ? program.name + " --help lists the commands"
                              : str_cat("did you mean ", nearest.front(), "?"));
}

Request parse_command(const Program& program, const Command& command, const std::vector<std::string>& line) {
  auto table = std::make_shared<OptionTable>();
  command.declare(*table);
  const std::vector<std::string> parted = without_lost_blanks(line, *table);
  const Words words = WordReader(command, *table, parted).read();

  Request request;
  request.command = &command;
  if (words.help) {
    request.kind = Request::Kind::kHelp;
    return request;
  }
  if (!words.extras.empty()) refuse_extras(program, command, *table, words);
  request.invocation = collect(program, command, words, table);
  request.kind = words.dump_config ? Request::Kind::kDumpConfig : Request::Kind::kRun;
  if (!words.dump_config && command.requires_positional)
    require_positional(program, command, request.invocation->values);
  return request;
}

}  // namespace

std::string option_flag(const std::string& name) { return (name.size() == 1 ? "-" : "--") + name; }

Request parse_command_line(const Program& program, const std::vector<std::string>& arguments) {
  Request request;
  if (arguments.empty()) {
    throw Error(ErrorKind::kUsage, program.name + " needs a command",
                program.name + " --help lists the commands");
  }
  const std::string& first = arguments.front();
  if (first == "--help" || first == "-h" || first == "help") {
    request.kind = Request::Kind::kHelp;
    if (first == "help" && arguments.size() > 1) request.command = &find_command(program, arguments[1]);
    return request;
  }
  if (first == "--version") {
    request.kind = Request::Kind::kVersion;
    return request;
  }
  if (first == "help-markdown") {
    request.kind = Request::Kind::kHelpMarkdown;
    return request;
  }
  if (first.starts_with("-")) {
    throw Error(ErrorKind::kUsage, str_cat("unknown option ", first),
                str_cat("options stand behind the command: ", program.name, " COMMAND --help"));
  }
  return parse_command(program, find_command(program, first), {arguments.begin() + 1, arguments.end()});
}

}  // namespace quantnoise::tool
