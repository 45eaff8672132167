#include "learn/train/progress.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

std::string to_json(const Event& event) {
  nlohmann::ordered_json object;
  object["event"] = event.name;
  for (const auto& [key, value] : event.fields) {
    std::visit([&, &key = key](const auto& item) { object[key] = item; }, value);
  }
  // Words of a text may be broken UTF-8; numbers that are not finite become null.
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string to_text(const EventValue& value, int digits) {
  std::ostringstream out;
  if (const double* number = std::get_if<double>(&value)) {
    out << std::setprecision(digits) << *number;
  } else {
    std::visit([&](const auto& item) { out << std::boolalpha << item; }, value);
  }
  return out.str();
}

/// "valid | epoch 3 | loss 4.812": digits are significant ones.
std::string to_text(const Event& event, int digits) {
  std::string line = event.name;
  for (const auto& [key, value] : event.fields) line += str_cat(" | ", key, " ", to_text(value, digits));
  return line;
}

constexpr int kProgressDigits = 5;
constexpr int kResultDigits = 9;

}  // namespace

LogFormat choose_log_format(const std::string& name, bool is_terminal, bool no_progress_bar) {
  if (name == "json") return LogFormat::kJson;
  if (name == "none") return LogFormat::kNone;
  if (name == "simple" || no_progress_bar || !is_terminal) return LogFormat::kSimple;
  return LogFormat::kProgress;
}

Progress::Progress(Output output, LogFormat format, const std::string& log_file)
    : output_(std::move(output)), format_(format), log_path_(log_file) {
  if (log_file.empty()) return;
  log_ = std::make_unique<std::ofstream>(log_file, std::ios::app);
  QN_REQUIRE(log_->good(), ErrorKind::kIo, "cannot write the log file ", log_file, ": ",
             std::strerror(errno));
}

void Progress::wipe_status() {
  if (status_shown_ && output_.status) output_.status("");
  status_shown_ = false;
}

void Progress::write_log(const std::string& json) {
  if (!log_) return;
  *log_ << json << '\n' << std::flush;
  if (log_->good()) return;
  log_.reset();  // a full disk must not end the run; it is said once
  message(str_cat("cannot write to ", log_path_, " any more"), "warning");
}

void Progress::message(const std::string& text, const std::string& kind) {
  const std::string json = to_json(Event{kind, {{"text", text}}});
  write_log(json);
  wipe_status();
  if (!output_.message) return;
  if (format_ == LogFormat::kJson) return output_.message(json);
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) output_.message(kind == "warning" ? "warning: " + line : line);
}

void Progress::event(const Event& event) {
  const std::string json = to_json(event);
  write_log(json);
  wipe_status();
  if (output_.message) output_.message(format_ == LogFormat::kJson ? json : to_text(event, kProgressDigits));
}

void Progress::frequent(const Event& event) {
  if (format_ == LogFormat::kNone) return write_log(to_json(event));
  if (format_ != LogFormat::kProgress || !output_.status) return this->event(event);
  write_log(to_json(event));
  output_.status(to_text(event, kProgressDigits));
  status_shown_ = true;
}

void Progress::result(const Event& event) {
  const std::string json = to_json(event);
  write_log(json);
  wipe_status();
  if (output_.result) output_.result(format_ == LogFormat::kJson ? json : to_text(event, kResultDigits));
}

}  // namespace quantnoise::train
