#include <new>
#include <string>
#include <vector>

#include "tools/common/command.h"
#include "tools/common/command_line.h"
#include "tools/common/help.h"
#include "tools/common/terminal.h"
#include "tools/common/version.h"

namespace quantnoise::tool {

namespace {

std::string dump_config(const Request& request) {
  config::OptionValues values = request.invocation->values;
  if (request.command->apply_defaults != nullptr) request.command->apply_defaults(values);
  return values.dump();
}

int run(const Program& program, const Request& request) {
  switch (request.kind) {
    case Request::Kind::kHelp:
      print_text(request.command == nullptr ? program_help(program)
                                            : command_help(program, *request.command));
      return 0;
    case Request::Kind::kVersion:
      print_result(str_cat(program.name, " ", kVersion));
      return 0;
    case Request::Kind::kHelpMarkdown:
      print_text(commands_markdown(program));
      return 0;
    case Request::Kind::kDumpConfig:
      print_text(dump_config(request));
      return 0;
    case Request::Kind::kRun:
      return request.command->run(*request.invocation);
  }
  return exit_code(ErrorKind::kInternal);
}

int report(ErrorKind kind, const std::string& message, const std::string& hint) {
  print_message("error: " + message);
  if (!hint.empty()) print_message("hint: " + hint);
  return exit_code(kind);
}

int report(const Error& error) { return report(error.kind(), error.what(), error.hint()); }

}  // namespace

int run_program(const Program& program, int argc, char** argv) {
  try {
    show_log();
    return run(program, parse_command_line(program, {argv + (argc > 0 ? 1 : 0), argv + argc}));
  } catch (const Error& error) {
    return report(error);
  } catch (const std::bad_alloc&) {
    return report(ErrorKind::kFailed, "not enough memory", "");
  } catch (const std::exception& error) {
    if (program.translate != nullptr) {
      if (const std::optional<Error> ours = program.translate()) return report(*ours);
    }
    return report(ErrorKind::kInternal, error.what(), "this is a bug in quantnoise");
  } catch (...) {
    return report(ErrorKind::kInternal, "an exception of unknown type", "this is a bug in quantnoise");
  }
}

}  // namespace quantnoise::tool
