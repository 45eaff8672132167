#pragma once
// Runs the real binary and keeps what it says.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace quantnoise::cmd_test {

struct Result {
  int exit_code = -1;  ///< 128 + signal number when a signal ended the program
  std::string out;
  std::string err;
};

/// What else a process is given.
struct Surroundings {
  std::string program = "qn";       ///< in the folder of the programs
  std::string out_path = {};        ///< where standard output goes; empty: a file of the folder
  int64_t largest_file_bytes = -1;  ///< writing more fails, as on a full disk; −1: no limit
};

/// A running program. What it prints goes to files, so that nobody has to read along.
class Process {
 public:
  /// folder: for the files of both streams; input: what stands on standard input.
  Process(const std::vector<std::string>& arguments, const std::string& folder, const std::string& input = "",
          const std::map<std::string, std::string>& environment = {}, const Surroundings& surroundings = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// Waits until the standard error holds `text`, or the program ends. Returns whether it was found.
  bool wait_for(const std::string& text);
  void send(int signal_number);
  /// Waits for the end. Returns the most threads that were seen at a time.
  int most_threads();
  Result wait();

 private:
  std::string out_path_;
  std::string err_path_;
  pid_t pid_ = -1;
};

std::string read_file(const std::string& path);

/// JSON objects of a text with one a line; other lines are left out.
std::vector<nlohmann::json> json_lines(const std::string& text);

/// The last event of this name; an empty object when there is none.
nlohmann::json last_event(const std::string& text, const std::string& name);

}  // namespace quantnoise::cmd_test
