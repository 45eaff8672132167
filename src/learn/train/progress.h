#pragma once
// Events of a run, shown as an updating line, plain lines or JSON lines.

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "quantnoise/config/options.h"
#include "quantnoise/train/output.h"

namespace quantnoise::train {

using EventValue = std::variant<bool, int64_t, double, std::string>;

/// Something that happened: a name and values in the order in which they are shown.
struct Event {
  std::string name;
  std::vector<std::pair<std::string, EventValue>> fields;

  Event& add(std::string key, EventValue value) {
    fields.emplace_back(std::move(key), std::move(value));
    return *this;
  }
};

enum class LogFormat { kProgress, kSimple, kJson, kNone };

/// The format asked for; without a wish: an updating line on a terminal, else lines.
LogFormat choose_log_format(const std::string& name, bool is_terminal, bool no_progress_bar);

class Progress {
 public:
  /// log_file: also gets everything as JSON lines; empty: none. Errors: kIo.
  Progress(Output output, LogFormat format, const std::string& log_file = "");

  /// Text for people; may have several lines. kind: "message", "warning", "plan".
  void message(const std::string& text, const std::string& kind = "message");
  /// Progress on the message stream.
  void event(const Event& event);
  /// A line of frequent progress: the updating line where there is one.
  void frequent(const Event& event);
  /// A result on the result stream, numbers in full.
  void result(const Event& event);

 private:
  void wipe_status();
  void write_log(const std::string& json);

  Output output_;
  LogFormat format_;
  std::unique_ptr<std::ofstream> log_;
  std::string log_path_;
  bool status_shown_ = false;
};

}  // namespace quantnoise::train
