#include "tools/common/help.h"

#include <algorithm>
#include <sstream>

#include "quantnoise/base/error.h"
#include "tools/common/command_line.h"

namespace quantnoise::tool {

namespace {

using config::OptionSpec;
using config::OptionTable;
using config::OptionType;

constexpr size_t kWidth = 110;
constexpr size_t kHelpColumn = 34;

constexpr char kClosing[] =
    "Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 wrong "
    "usage or\n"
    "configuration, 3 bad data or file, 4 not supported here, 70 a bug.";

OptionTable table_of(const Command& command) {
  OptionTable table;
  command.declare(table);
  return table;
}

std::vector<std::string> groups_of(const OptionTable& table) {
  std::vector<std::string> groups;
  for (const OptionSpec& spec : table.specs()) {
    if (std::find(groups.begin(), groups.end(), spec.group) == groups.end()) groups.push_back(spec.group);
  }
  return groups;
}

bool is_positional(const Command& command, const OptionSpec& spec) {
  return std::find(command.positional.begin(), command.positional.end(), spec.name) !=
         command.positional.end();
}

/// What stands for the value: "N", "X,X", "TEXT".
std::string placeholder(const OptionSpec& spec) {
  switch (spec.type) {
    case OptionType::kBool:
      return "";
    case OptionType::kInt:
      return "N";
    case OptionType::kFloat:
      return "X";
    case OptionType::kString:
      return "TEXT";
    case OptionType::kChoice:
      return "CHOICE";
    case OptionType::kIntList:
      return "N,…";
    case OptionType::kFloatList:
      return "X,…";
  }
  return "";
}

std::string flags_of(const OptionSpec& spec) {
  std::string flags = option_flag(spec.name);
  for (const std::string& alias : spec.aliases) flags += ", " + option_flag(config::canonical_name(alias));
  return flags;
}

/// "updates, at least 1, default 100": what the declaration knows beside the help.
std::string facts_of(const OptionSpec& spec) {
  std::vector<std::string> facts;
  if (!spec.choices.empty()) facts.push_back(join(spec.choices, " | "));
  if (!spec.unit.empty()) facts.push_back(spec.unit);
  if (spec.min && spec.max) {
    facts.push_back(str_cat(*spec.min, " to ", *spec.max));
  } else if (spec.min) {
    facts.push_back(str_cat("at least ", *spec.min));
  } else if (spec.max) {
    facts.push_back(str_cat("at most ", *spec.max));
  }
  if (!spec.default_text.empty()) facts.push_back("default " + spec.default_text);
  return join(facts, "; ");
}

/// Breaks text into lines that fit behind `indent` columns.
std::string wrapped(const std::string& text, size_t indent) {
  std::istringstream words(text);
  std::string result;
  std::string line;
  for (std::string word; words >> word;) {
    if (!line.empty() && indent + line.size() + 1 + word.size() > kWidth) {
      result += line + "\n" + std::string(indent, ' ');
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return result + line;
}

std::string entry(const std::string& left, const std::string& help) {
  std::string text = "  " + left;
  if (text.size() + 2 > kHelpColumn) {
    text += str_cat("\n", std::string(kHelpColumn, ' '));
  } else {
    text.resize(kHelpColumn, ' ');
  }
  return text + wrapped(help, kHelpColumn) + "\n";
}

std::string option_entry(const OptionSpec& spec) {
  const std::string value = placeholder(spec);
  const std::string facts = facts_of(spec);
  return entry(flags_of(spec) + (value.empty() ? "" : " " + value),
               spec.help + (facts.empty() ? "" : " [" + facts + "]"));
}

std::string usage_line(const Program& program, const Command& command) {
  std::string usage = program.name + " " + command.name + " [options]";
  for (const std::string& name : command.positional)
    usage += command.requires_positional ? " " + name : " [" + name + "]";
  return usage;
}

constexpr char kRecipeHelp[] =
    "recipe: a YAML file of option names and values; the command line wins over it";
constexpr char kDumpHelp[] = "prints the values given as a recipe, all others as comments in it, and ends";

std::string title_of(const std::string& group) { return group.empty() ? "options" : group; }

// ---- markdown
// ------------------------------------------------------------------------------------------------------

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '|' || c == '<' || c == '*') result += '\\';
    result += c;
  }
  return result;
}

std::string markdown_row(const OptionSpec& spec) {
  const std::string value = placeholder(spec);
  const std::string flags = str_cat("`", flags_of(spec), value.empty() ? "" : " ", value, "`");
  std::vector<std::string> allowed;
  OptionSpec without_default = spec;
  without_default.default_text.clear();
  const std::string facts = facts_of(without_default);
  return str_cat("| ", flags, " | ", escaped(spec.help), " | ", escaped(facts), " | ",
                 spec.default_text.empty() ? "" : "`" + spec.default_text + "`", " |\n");
}

std::string command_markdown(const Program& program, const Command& command) {
  const OptionTable table = table_of(command);
  const std::string heading = (program.name == "qn" ? "" : program.name + " ") + command.name;
  std::string text = str_cat("## ", program.name, " ", command.name, "\n\n", command.summary, "\n\n    ",
                             usage_line(program, command), "\n");
  if (!command.details.empty()) text += "\n" + command.details + "\n";
  if (!command.examples.empty()) {
    text += "\n";
    for (const std::string& example : command.examples) text += "    " + example + "\n";
  }
  for (const std::string& group : groups_of(table)) {
    text += str_cat("\n### ", heading, ": ", title_of(group),
                    "\n\n| option | meaning | values | default |\n|---|---|---|---|\n");
    for (const OptionSpec& spec : table.specs()) {
      if (spec.group == group) text += markdown_row(spec);
    }
  }
  if (command.takes_recipe) {
    text += str_cat("\n### ", heading, ": recipes\n\n| option | meaning |\n|---|---|\n| `--config TEXT` | ",
                    kRecipeHelp, " |\n| `--dump-config` | ", kDumpHelp, " |\n");
  }
  return text;
}

}  // namespace

std::string program_help(const Program& program) {
  const std::string& name = program.name;
  std::string text =
      str_cat("usage: ", name, " COMMAND [options]\n\n", program.introduction, "\n\ncommands:\n");
  for (const Command& command : program.commands) text += entry(command.name, command.summary);
  text += str_cat("\n", name, " COMMAND --help lists the options of a command; ", name,
                  " --version prints the version.\n");
  return text + kClosing + "\n";
}

std::string command_help(const Program& program, const Command& command) {
  const OptionTable table = table_of(command);
  std::string text =
      str_cat("usage: ", usage_line(program, command), "\n\n", wrapped(command.summary, 0), "\n");
  if (!command.details.empty()) text += str_cat("\n", wrapped(command.details, 0), "\n");
  if (!command.examples.empty()) {
    text += "\nexamples:\n";
    for (const std::string& example : command.examples) text += "  " + example + "\n";
  }
  if (!command.positional.empty()) text += "\narguments:\n";
  for (const std::string& name : command.positional) text += entry(name, table.find(name).help);
  for (const std::string& group : groups_of(table)) {
    std::string entries;
    for (const OptionSpec& spec : table.specs()) {
      if (spec.group == group && !is_positional(command, spec)) entries += option_entry(spec);
    }
    if (!entries.empty()) text += str_cat("\n", title_of(group), ":\n", entries);
  }
  if (command.takes_recipe) {
    text += "\nrecipes:\n" + entry("--config TEXT", kRecipeHelp) + entry("--dump-config", kDumpHelp);
  }
  return text;
}

std::string commands_markdown(const Program& program) {
  std::string text =
      str_cat("# Commands of ", program.name, "\n\n<!-- Written by `", program.name,
              " help-markdown`; a test compares. -->\n\n", program.introduction, "\n\n", kClosing,
              "\n\nOption names may be written with dashes or underscores. Of a repeated option the "
              "last value counts.\n");
  if (program.apply_recipe != nullptr) text += "Values rank default < recipe (`--config`) < command line.\n";
  for (const Command& command : program.commands) text += str_cat("\n", command_markdown(program, command));
  return text;
}

}  // namespace quantnoise::tool
