#include "tools/common/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>

#include "quantnoise/base/error.h"
#include "quantnoise/base/log.h"

namespace quantnoise::tool {

namespace {

std::mutex g_mutex;
bool g_status_shown = false;
volatile std::sig_atomic_t g_interrupts = 0;

/// Errors of standard error are nobody's to hear.
bool write_all(int descriptor, const std::string& text) {
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(descriptor, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    written += static_cast<size_t>(count);
  }
  return true;
}

size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void wipe_status() {
  if (!g_status_shown) return;
  write_all(STDERR_FILENO, "\r\x1b[K");
  g_status_shown = false;
}

extern "C" void on_interrupt(int signal_number) {
  g_interrupts = g_interrupts + 1;
  // The second one acts as if it had never been caught.
  std::signal(signal_number, SIG_DFL);
}

}  // namespace

bool stderr_is_terminal() {
  static const bool is_terminal = ::isatty(STDERR_FILENO) == 1;
  return is_terminal;
}

void print_text(const std::string& text) {
  std::lock_guard<std::mutex> lock(g_mutex);
  wipe_status();
  QN_REQUIRE(write_all(STDOUT_FILENO, text), ErrorKind::kIo,
             "cannot write to standard output: ", std::strerror(errno));
}

void print_result(const std::string& line) { print_text(line + "\n"); }

void print_message(const std::string& line) {
  std::lock_guard<std::mutex> lock(g_mutex);
  wipe_status();
  write_all(STDERR_FILENO, line + "\n");
}

void print_status(const std::string& line) {
  if (!stderr_is_terminal()) return;
  std::lock_guard<std::mutex> lock(g_mutex);
  wipe_status();
  if (line.empty()) return;
  write_all(STDERR_FILENO, line.substr(0, terminal_width() - 1));
  g_status_shown = true;
}

std::string read_standard_input() {
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    QN_REQUIRE(count >= 0, ErrorKind::kIo, "cannot read standard input: ", std::strerror(errno));
    if (count == 0) return text;
    text.append(buffer, static_cast<size_t>(count));
  }
}

void show_log() {
  base::set_log_sink([](base::LogLevel level, const std::string& message) {
    print_message(level == base::LogLevel::kWarning ? "warning: " + message : message);
  });
}

void catch_interrupts() {
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
}

bool interrupted() { return g_interrupts > 0; }

}  // namespace quantnoise::tool
