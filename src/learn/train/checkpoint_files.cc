// Names of checkpoints, and which of them stay.

#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <regex>
#include <sstream>
#include <system_error>

#include "learn/train/checkpoint.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/log.h"

namespace quantnoise::train {
namespace {

constexpr double kMostRanked = 1e15;

struct NumberedFile {
  double number = 0;
  int64_t num_updates = 0;  ///< where the name tells
  std::filesystem::path path;
};

/// Files of the folder whose names match in full, by the number in the first group, greatest first. A second
/// group is the number of updates.
std::vector<NumberedFile> find_files(const std::string& folder, const std::string& pattern) {
  const std::regex expression(pattern);
  std::vector<NumberedFile> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::smatch match;
    const std::string name = entry.path().filename().string();
    if (!std::regex_match(name, match, expression)) continue;
    const bool has_updates = match.size() > 2 && match[2].matched;
    files.push_back({std::stod(match[1].str()), has_updates ? std::stoll(match[2].str()) : 0, entry.path()});
  }
  std::sort(files.begin(), files.end(), [](const NumberedFile& a, const NumberedFile& b) {
    return a.number != b.number ? a.number > b.number : a.path > b.path;
  });
  return files;
}

void remove_file(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::remove(path, error);
  if (error)
    base::log(base::LogLevel::kWarning, str_cat("cannot delete ", path.string(), ": ", error.message()));
}

void remove_after(const std::vector<NumberedFile>& files, int64_t kept) {
  for (size_t i = static_cast<size_t>(kept); i < files.size(); ++i) remove_file(files[i].path);
}

/// The best first; of equal ones the latest. Files of earlier versions have no number of updates.
std::vector<NumberedFile> find_ranked(const std::string& folder, const Retention& retention) {
  std::vector<NumberedFile> files =
      find_files(folder, str_cat(R"(checkpoint\.best_)", retention.metric, R"(_(\d+\.\d+)(?:_(\d+))?\.qn)"));
  std::sort(files.begin(), files.end(), [&](const NumberedFile& a, const NumberedFile& b) {
    if (a.number == b.number) return a.num_updates > b.num_updates;
    return retention.maximize ? a.number > b.number : a.number < b.number;
  });
  return files;
}

}  // namespace

Retention retention_options(const config::OptionValues& values) {
  Retention retention;
  retention.interval_updates = values.get_int("keep-interval-updates");
  retention.interval_updates_pattern = values.get_int("keep-interval-updates-pattern");
  retention.last_epochs = values.get_int("keep-last-epochs");
  retention.best = values.get_int("keep-best-checkpoints");
  retention.metric = values.get_string("best-checkpoint-metric");
  retention.maximize = values.get_bool("maximize-best-checkpoint-metric");
  return retention;
}

std::string epoch_checkpoint(int64_t epoch) { return str_cat("checkpoint", epoch, ".qn"); }

std::string update_checkpoint(int64_t epoch, int64_t num_updates) {
  return str_cat("checkpoint_", epoch, "_", num_updates, ".qn");
}

std::string ranked_checkpoint(const std::string& metric, double value, int64_t num_updates) {
  std::ostringstream name;
  name << "checkpoint.best_" << metric << '_' << std::fixed << std::setprecision(3) << value << '_'
       << num_updates << ".qn";
  return name.str();
}

bool is_among_best(const std::string& save_dir, const Retention& retention, double metric) {
  // A diverged value fits no file name.
  if (retention.best <= 0 || !(metric < kMostRanked)) return false;
  const std::vector<NumberedFile> files = find_ranked(save_dir, retention);
  if (static_cast<int64_t>(files.size()) < retention.best) return true;
  const double last = files[static_cast<size_t>(retention.best) - 1].number;
  return retention.maximize ? metric >= last : metric <= last;
}

void prune_checkpoints(const std::string& save_dir, const Retention& retention) {
  if (retention.interval_updates > 0) {
    std::vector<NumberedFile> files = find_files(save_dir, R"(checkpoint_\d+_(\d+)\.qn)");
    if (retention.interval_updates_pattern > 0) {
      std::erase_if(files, [&](const NumberedFile& file) {
        return static_cast<int64_t>(file.number) % retention.interval_updates_pattern == 0;
      });
    }
    remove_after(files, retention.interval_updates);
  }
  if (retention.last_epochs > 0)
    remove_after(find_files(save_dir, R"(checkpoint(\d+)\.qn)"), retention.last_epochs);
  if (retention.best > 0) remove_after(find_ranked(save_dir, retention), retention.best);
}

}  // namespace quantnoise::train
