#pragma once
// Where a run's words go. The library prints nothing itself: the program hands in these functions.

#include <functional>
#include <string>

namespace quantnoise::train {

/// Each function gets one whole line without its newline. Empty functions: nothing is shown.
struct Output {
  std::function<void(const std::string& line)> result;   ///< results: standard output
  std::function<void(const std::string& line)> message;  ///< everything else: standard error
  /// The updating line of a terminal: replaces what status() showed before. Set it only when standard error
  /// is a terminal; status("") wipes the line, and is called before every message and result.
  std::function<void(const std::string& line)> status;
};

}  // namespace quantnoise::train
