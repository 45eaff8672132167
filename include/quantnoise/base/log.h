#pragma once
// Where messages go. Libraries never print: they call log(), and the program decides. Default: nowhere.

#include <functional>
#include <string>

namespace quantnoise::base {

enum class LogLevel { kInfo, kWarning };

using LogSink = std::function<void(LogLevel level, const std::string& message)>;

/// Replaces the sink; returns the former one. Thread-safe.
LogSink set_log_sink(LogSink sink);

/// Hands one message (no newline at its end) to the sink. Thread-safe: one message at a time.
void log(LogLevel level, const std::string& message);

}  // namespace quantnoise::base
