#include "quantnoise/base/log.h"

#include <mutex>
#include <utility>

namespace quantnoise::base {

namespace {
std::mutex g_mutex;
LogSink g_sink;
}  // namespace

LogSink set_log_sink(LogSink sink) {
  std::lock_guard<std::mutex> lock(g_mutex);
  std::swap(g_sink, sink);
  return sink;
}

void log(LogLevel level, const std::string& message) {
  std::lock_guard<std::mutex> lock(g_mutex);
  if (g_sink) g_sink(level, message);
}

}  // namespace quantnoise::base
