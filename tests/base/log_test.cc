#include "quantnoise/base/log.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace quantnoise::base {
namespace {

TEST(Log, GoesToTheSinkAndNowhereWithoutOne) {
  log(LogLevel::kInfo, "lost");
  std::vector<std::pair<LogLevel, std::string>> messages;
  LogSink former =
      set_log_sink([&](LogLevel level, const std::string& text) { messages.emplace_back(level, text); });
  log(LogLevel::kInfo, "one");
  log(LogLevel::kWarning, "two");
  set_log_sink(std::move(former));
  log(LogLevel::kInfo, "lost");
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0], std::pair(LogLevel::kInfo, std::string("one")));
  EXPECT_EQ(messages[1], std::pair(LogLevel::kWarning, std::string("two")));
}

}  // namespace
}  // namespace quantnoise::base
