// The command `qn`.

#include <c10/util/Exception.h>

#include <new>
#include <string>
#include <vector>

#include "quantnoise/base/error.h"
#include "tools/qn/command_line.h"
#include "tools/qn/help.h"
#include "tools/qn/terminal.h"
#include "tools/qn/version.h"

namespace quantnoise::tool {

namespace {

std::string dump_config(const Request& request) {
  config::OptionValues values = request.invocation->values;
  if (request.command->apply_defaults != nullptr) request.command->apply_defaults(values);
  return values.dump();
}

int run(const Request& request) {
  switch (request.kind) {
    case Request::Kind::kHelp:
      print_text(request.command == nullptr ? program_help() : command_help(*request.command));
      return 0;
    case Request::Kind::kVersion:
      print_result(str_cat("qn ", kVersion));
      return 0;
    case Request::Kind::kHelpMarkdown:
      print_text(commands_markdown());
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

int report_torch_error(const c10::Error& error) {
  const std::string message = error.what_without_backtrace();
  if (message.find("can't allocate memory") != std::string::npos) {
    return report(ErrorKind::kFailed, "not enough memory: " + message,
                  "smaller batches need less: --max-tokens");
  }
  return report(ErrorKind::kInternal, "torch: " + message, "this is a bug in quantnoise");
}

}  // namespace

int guarded_main(const std::vector<std::string>& arguments) {
  try {
    show_log();
    return run(parse_command_line(arguments));
  } catch (const Error& error) {
    return report(error.kind(), error.what(), error.hint());
  } catch (const c10::Error& error) {
    return report_torch_error(error);
  } catch (const std::bad_alloc&) {
    return report(ErrorKind::kFailed, "not enough memory", "");
  } catch (const std::exception& error) {
    return report(ErrorKind::kInternal, error.what(), "this is a bug in quantnoise");
  } catch (...) {
    return report(ErrorKind::kInternal, "an exception of unknown type", "this is a bug in quantnoise");
  }
}

}  // namespace quantnoise::tool

int main(int argc, char** argv) {
  return quantnoise::tool::guarded_main(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
}
