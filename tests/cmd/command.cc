#include "command.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace quantnoise::cmd_test {

namespace {

std::string next_prefix(const std::string& folder) {
  static std::atomic<int> count{0};
  return folder + "/process" + std::to_string(count++);
}

void redirect(const std::string& path, int flags, int descriptor) {
  const int opened = ::open(path.c_str(), flags, 0644);
  if (opened < 0 || ::dup2(opened, descriptor) < 0) ::_exit(126);
  ::close(opened);
}

void limit_files(int64_t largest_bytes) {
  const rlimit limit{static_cast<rlim_t>(largest_bytes), static_cast<rlim_t>(largest_bytes)};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, SIG_IGN);  // the write then fails with an error
}

}  // namespace

Process::Process(const std::vector<std::string>& arguments, const std::string& folder,
                 const std::string& input, const std::map<std::string, std::string>& environment,
                 const Surroundings& surroundings) {
  const std::string prefix = next_prefix(folder);
  out_path_ = surroundings.out_path.empty() ? prefix + ".out" : surroundings.out_path;
  err_path_ = prefix + ".err";
  const std::string in_path = prefix + ".in";
  std::ofstream(in_path, std::ios::binary) << input;
  const std::string program = std::string(QN_BINARY_DIR) + "/bin/" + surroundings.program;
  std::vector<char*> words = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("cannot fork");
  if (pid_ == 0) {
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    if (surroundings.largest_file_bytes >= 0) limit_files(surroundings.largest_file_bytes);
    redirect(in_path, O_RDONLY, STDIN_FILENO);
    redirect(out_path_, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
    redirect(err_path_, O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
    ::execv(program.c_str(), words.data());
    ::_exit(127);
  }
}

Process::~Process() {
  if (pid_ < 0) return;
  send(SIGKILL);
  wait();
}

void Process::send(int signal_number) { ::kill(pid_, signal_number); }

bool Process::wait_for(const std::string& text) {
  using namespace std::chrono_literals;
  while (true) {
    siginfo_t info{};
    const bool ended = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                       info.si_pid == pid_;
    if (read_file(err_path_).find(text) != std::string::npos) return true;
    if (ended) return false;
    std::this_thread::sleep_for(2ms);
  }
}

int Process::most_threads() {
  const std::string label = "\nThreads:\t";
  int most = 0;
  while (true) {
    // A process that has ended and is not waited for has none.
    const std::string status = read_file("/proc/" + std::to_string(pid_) + "/status");
    const size_t found = status.find(label);
    if (status.find("\nState:\tZ") != std::string::npos || found == std::string::npos) break;
    most = std::max(most, std::atoi(status.c_str() + found + label.size()));
  }
  wait();
  return most;
}

Result Process::wait() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  Result result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (!out_path_.starts_with("/dev/")) result.out = read_file(out_path_);
  result.err = read_file(err_path_);
  return result;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> objects;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
    if (object.is_object()) objects.push_back(std::move(object));
  }
  return objects;
}

nlohmann::json last_event(const std::string& text, const std::string& name) {
  nlohmann::json found = nlohmann::json::object();
  for (const nlohmann::json& object : json_lines(text)) {
    if (object.value("event", "") == name) found = object;
  }
  return found;
}

}  // namespace quantnoise::cmd_test
