#include "tools/common/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "quantnoise/base/error.h"

namespace quantnoise::tool {

namespace {

using config::OptionSource;
using config::OptionSpec;
using config::OptionTable;
using config::OptionType;

/// The CLI11 side of one declared option.
struct BoundOption {
  const OptionSpec* spec = nullptr;
  CLI::Option* option = nullptr;
};

/// One sub-command in CLI11.
struct BoundCommand {
  const Program* program = nullptr;
  const Command* command = nullptr;
  CLI::App* app = nullptr;
  std::vector<BoundOption> options;
  CLI::Option* help = nullptr;
  CLI::Option* recipe = nullptr;  // null when the command takes none
  CLI::Option* dump_config = nullptr;
};

bool is_positional(const Command& command, const std::string& name) {
  return std::find(command.positional.begin(), command.positional.end(), name) != command.positional.end();
}

/// "--output,-o"; a positional option adds its bare name, so that it can be given by name too.
std::string cli_names(const Command& command, const OptionSpec& spec) {
  std::string names = option_flag(spec.name);
  for (const std::string& alias : spec.aliases)
    names += str_cat(",", option_flag(config::canonical_name(alias)));
  if (is_positional(command, spec.name)) names += str_cat(",", spec.name);
  return names;
}

CLI::Option* add_option(CLI::App& app, const std::string& names) {
  CLI::Option* option = app.add_option(names, [](const CLI::results_t&) { return true; });
  return option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->expected(1)->allow_extra_args(false);
}

CLI::Option* add_flag(CLI::App& app, const std::string& names) {
  return app.add_flag(names)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

/// Positional options come first, in their order: CLI11 fills them in the order of declaration.
std::vector<const OptionSpec*> ordered_specs(const Command& command, const OptionTable& table) {
  std::vector<const OptionSpec*> specs;
  for (const std::string& name : command.positional) specs.push_back(&table.find(name));
  for (const OptionSpec& spec : table.specs()) {
    if (!is_positional(command, spec.name)) specs.push_back(&spec);
  }
  return specs;
}

BoundCommand bind(const Program& program, const Command& command, const OptionTable& table, CLI::App& app) {
  BoundCommand bound;
  bound.program = &program;
  bound.command = &command;
  bound.app = &app;
  app.set_help_flag();
  app.allow_extras();
  for (const OptionSpec* spec : ordered_specs(command, table)) {
    const std::string names = cli_names(command, *spec);
    bound.options.push_back(
        {spec, spec->type == OptionType::kBool ? add_flag(app, names) : add_option(app, names)});
  }
  bound.help = app.add_flag("--help,-h");
  if (command.takes_recipe) {
    bound.recipe = add_option(app, "--config");
    bound.dump_config = app.add_flag("--dump-config");
  }
  return bound;
}

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

/// Words as CLI11 understands them, in its order (the last one first): "--max_tokens" becomes "--max-tokens"
/// where that is an option, as fairseq's users write both; "--flag false" becomes "--flag=false".
std::vector<std::string> words_for_cli11(const std::string& command, const std::vector<std::string>& words,
                                         const OptionTable& table) {
  std::vector<std::string> result = {command};
  bool after_flag = false;
  for (const std::string& word : words) {
    if (after_flag && is_truth_value(word)) {
      result.back() += "=" + word;
      after_flag = false;
      continue;
    }
    const size_t equals = word.find('=');
    const std::string name = config::canonical_name(word.substr(0, equals));
    const bool known = word.starts_with("--") && table.contains(name);
    after_flag = known && equals == std::string::npos && table.find(name).type == OptionType::kBool;
    result.push_back(known ? "--" + name + (equals == std::string::npos ? "" : word.substr(equals)) : word);
  }
  std::reverse(result.begin(), result.end());
  return result;
}

/// extras: words that nothing takes. An unknown option is named first: its value may have been taken for an
/// argument.
[[noreturn]] void refuse_extras(const Program& program, const Command& command, const OptionTable& table,
                                const std::vector<std::string>& extras) {
  for (const std::string& word : extras) {
    if (word.size() > 1 && word.front() == '-')
      table.find(word.substr(0, word.find('=')));  // throws, nearest names
  }
  throw Error(ErrorKind::kUsage, str_cat("unexpected argument '", extras.front(), "'"),
              str_cat(program.name, " ", command.name, " --help lists what is expected"));
}

/// The words of an option that lacks its value, as CLI11 reports it.
[[noreturn]] void rethrow_cli_error(const CLI::ParseError& error) {
  std::string text = error.what();
  const size_t colon = text.find(':');
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr && colon != std::string::npos) {
    throw Error(ErrorKind::kUsage, str_cat("option ", text.substr(0, colon), " needs a value"));
  }
  throw Error(ErrorKind::kUsage, text);
}

void require_positional(const BoundCommand& bound, const config::OptionValues& values) {
  for (const std::string& name : bound.command->positional) {
    QN_REQUIRE(values.is_explicit(name), ErrorKind::kUsage, bound.program->name, " ", bound.command->name,
               " needs the argument ", name);
  }
}

Invocation collect(const BoundCommand& bound, std::shared_ptr<const OptionTable> table) {
  Invocation invocation{table, config::OptionValues(*table), {}};
  if (bound.recipe != nullptr && bound.recipe->count() > 0) {
    bound.program->apply_recipe(bound.recipe->results().back(), invocation.values);
  }
  const std::vector<std::string>& repeatable = bound.command->repeatable;
  for (const auto& [spec, option] : bound.options) {
    const std::vector<std::string>& texts = option->results();
    for (const std::string& text : texts) invocation.values.set(spec->name, text, OptionSource::kCommandLine);
    const bool repeats = std::find(repeatable.begin(), repeatable.end(), spec->name) != repeatable.end();
    if (repeats && !texts.empty()) invocation.repeated[spec->name] = texts;
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

Request parse_command(const Program& program, const Command& command, const std::vector<std::string>& words) {
  auto table = std::make_shared<OptionTable>();
  command.declare(*table);
  CLI::App root;
  BoundCommand bound = bind(program, command, *table, *root.add_subcommand(command.name));
  try {
    root.parse(words_for_cli11(command.name, without_lost_blanks(words, *table), *table));
  } catch (const CLI::ParseError& error) {
    rethrow_cli_error(error);
  }

  Request request;
  request.command = &command;
  if (bound.help->count() > 0) {
    request.kind = Request::Kind::kHelp;
    return request;
  }
  const std::vector<std::string> extras = bound.app->remaining();
  if (!extras.empty()) refuse_extras(program, command, *table, extras);
  request.invocation = collect(bound, table);
  const bool dump = bound.dump_config != nullptr && bound.dump_config->count() > 0;
  request.kind = dump ? Request::Kind::kDumpConfig : Request::Kind::kRun;
  if (!dump && command.requires_positional) require_positional(bound, request.invocation->values);
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
