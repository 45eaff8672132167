// Every option of `qn train` changes what a run prints, the weights it leaves behind or its files.

#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>

#include "option_cases.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/log.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/train/options.h"
#include "quantnoise/train/task.h"

namespace quantnoise::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// What can be seen of a run. The options that files repeat are no part of it: they would differ for an
/// option that is otherwise ignored.
struct Observation {
  std::string error;
  std::vector<std::string> printed;                                 ///< without times and idle options
  std::vector<std::string> idle;                                    ///< options said to have no effect
  std::map<std::string, std::map<std::string, std::string>> files;  ///< name → tensor → bytes
  std::vector<std::string> ties;

  bool operator==(const Observation& other) const {
    return error == other.error && printed == other.printed && files == other.files && ties == other.ties;
  }
};

/// Messages of the libraries while it lives.
class LogCapture {
 public:
  LogCapture() {
    former_ = base::set_log_sink([this](base::LogLevel, const std::string& text) { lines.push_back(text); });
  }
  ~LogCapture() { base::set_log_sink(former_); }

  std::vector<std::string> lines;

 private:
  base::LogSink former_;
};

/// Adds the names in "options without effect here: --a, --b". Returns whether the event is that message.
bool take_idle_options(const nlohmann::json& event, std::vector<std::string>& names) {
  static const std::string kBeginning = "options without effect here: ";
  const std::string text = event.value("text", "");
  if (!text.starts_with(kBeginning)) return false;
  std::istringstream list(text.substr(kBeginning.size()));
  for (std::string name; list >> name;) names.push_back(name.substr(0, name.find(',')));
  return true;
}

std::string without_times(nlohmann::json event) {
  for (const char* key : {"wps", "ups", "wall", "left", "train_wall"}) event.erase(key);
  // The time of training stands in the file with all its digits.
  if (event.at("event") == "checkpoint") event.erase("bytes");
  return event.dump();
}

class OptionFixture : public RunFixture {
 protected:
  /// What "@name" in the table stands for.
  void SetUp() override {
    std::filesystem::copy(data(), path("second"));
    copy_split("valid", "second", "train");
    std::filesystem::copy(data(), path("more"));
    copy_split("train", "more", "valid1");
    std::filesystem::copy(data(), path("long"));
    write_long_sentence(path("long/valid"));
    quantization_config();
    train("first", {{"max-tokens", "1024"},
                    {"max-update", "0"},
                    {"max-epoch", "2"},
                    {"lr-scheduler", "reduce_lr_on_plateau"},
                    {"lr-threshold", "0.9"}});
  }

  std::string completed(const std::string& value) const {
    std::string text;
    for (const char c : value) text += c == '@' ? path("") : std::string(1, c);
    return text;
  }

  Observation observe(const Options& given) const {
    Options options = {{"max-update", "3"}, {"log-interval", "1"}};
    for (const auto& [name, value] : given) options[name] = completed(value);
    Observation seen;
    const LogCapture log;
    try {
      const RunResult run = train("run", options);
      for (const auto* events : {&run.results, &run.messages}) {
        for (const nlohmann::json& event : *events) {
          if (!take_idle_options(event, seen.idle)) seen.printed.push_back(without_times(event));
        }
      }
    } catch (const Error& error) {
      seen.error = error.what();
    }
    seen.printed.insert(seen.printed.end(), log.lines.begin(), log.lines.end());
    if (std::filesystem::exists(path("run"))) collect_files(seen);
    std::filesystem::remove_all(path("run"));
    return seen;
  }

 private:
  void copy_split(const std::string& from, const std::string& folder, const std::string& to) const {
    for (const char* kind : {".bin", ".idx"}) {
      std::filesystem::copy_file(data() + "/" + from + kind, path(folder + "/" + to + kind),
                                 std::filesystem::copy_options::overwrite_existing);
    }
  }
  static void write_long_sentence(const std::string& prefix) {
    text::IndexedDatasetWriter writer(prefix, text::TokenType::kUint16);
    std::vector<int64_t> sentence(30, 5);
    sentence.push_back(text::kEos);
    writer.add(sentence);
    writer.add(std::vector<int64_t>{5, 6, 7, text::kEos});
    writer.finish();
  }
  void collect_files(Observation& seen) const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path("run"))) {
      const std::string name = entry.path().filename();
      seen.files[name] = weights(entry.path());
      for (const auto& [alias, weight] : pack::read_model_file(entry.path()).ties) {
        seen.ties.push_back(str_cat(name, ": ", alias, " = ", weight));
      }
    }
    std::sort(seen.ties.begin(), seen.ties.end());
  }
};

/// Names of the options with an effect, by group.
std::map<std::string, std::set<std::string>> options_by_group() {
  config::OptionTable table;
  train::declare_train_options(table);
  std::map<std::string, std::set<std::string>> groups;
  for (const std::string& name : train_option_names()) groups[table.find(name).group].insert(name);
  return groups;
}

bool test_exists(const std::string& full_name) {
  const testing::UnitTest& tests = *testing::UnitTest::GetInstance();
  for (int i = 0; i < tests.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *tests.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      if (str_cat(suite.name(), ".", suite.GetTestInfo(j)->name()) == full_name) return true;
    }
  }
  return false;
}

TEST(OptionCases, EveryOptionHasOne) {
  std::set<std::string> listed;
  std::set<std::string> seen;
  for (const OptionCase& item : option_cases()) {
    listed.insert(item.option);
    EXPECT_EQ(item.values.empty(), item.effect == Effect::kOwnTest) << item.option;
    const bool is_tested = item.effect != Effect::kOwnTest || test_exists(item.why);
    EXPECT_TRUE(is_tested) << item.option << ": " << item.why;
    EXPECT_TRUE(item.effect != Effect::kNothing || !item.why.empty()) << item.option;
    if (item.effect != Effect::kNothing) seen.insert(item.option);
  }
  EXPECT_EQ(listed, seen) << "a case that shows no effect is not enough";
  std::set<std::string> there_are;
  for (const std::string& name : train_option_names()) there_are.insert(name);
  EXPECT_EQ(listed, there_are);
}

/// One group of options: a process for each option would spend its time on starting.
class OptionGroupEffects : public OptionFixture, public testing::WithParamInterface<std::string> {
 protected:
  /// The run without the option, made once; repeated, to know that only the option can make a difference.
  const Observation& base_of(const Options& options) {
    const auto [found, is_new] = bases_.try_emplace(options);
    if (is_new) {
      found->second = observe(options);
      EXPECT_TRUE(found->second == observe(options)) << "two runs with the same options differ";
    }
    return found->second;
  }
  void expect_effect(const OptionCase& item, const std::string& value) {
    const Observation& base = base_of(item.base);
    const Observation changed = observe(with(item.base, {{item.option, value}}));
    EXPECT_EQ(base.error.empty(), item.effect != Effect::kPermits) << base.error;
    EXPECT_EQ(changed.error.empty(), item.effect != Effect::kRefuses) << changed.error;
    if (item.effect == Effect::kNothing) {
      EXPECT_TRUE(changed == base);
    } else {
      EXPECT_FALSE(changed == base) << "the option changes nothing";
      EXPECT_THAT(changed.idle, Not(Contains("--" + item.option)));
    }
  }

 private:
  std::map<Options, Observation> bases_;
};

TEST_P(OptionGroupEffects, AreSeen) {
  const std::set<std::string> options = options_by_group().at(GetParam());
  for (const OptionCase& item : option_cases()) {
    if (!options.contains(item.option)) continue;
    for (const std::string& value : item.values) {
      SCOPED_TRACE(str_cat("--", item.option, " ", value));
      expect_effect(item, value);
    }
  }
}

std::vector<std::string> group_names() {
  std::vector<std::string> names;
  for (const auto& [name, options] : options_by_group()) names.push_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, OptionGroupEffects, testing::ValuesIn(group_names()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
});

// ---- options with an observable of their own

class OptionEffects : public OptionFixture {};

TEST_F(OptionEffects, ThereIsOneTask) {
  EXPECT_THAT(train::task_names(), ElementsAre("language_modeling"));
  EXPECT_THAT(error_of("run", {{"task", "translation"}}), HasSubstr("language_modeling"));
}

TEST_F(OptionEffects, FilesAreInTheSaveDir) {
  train("here/and/there", {{"max-update", "1"}});
  EXPECT_TRUE(std::filesystem::exists(path("here/and/there/model.qn")));
  EXPECT_TRUE(std::filesystem::exists(path("here/and/there/checkpoint_last.qn")));
}

/// Counts torch's operators while it lives: of all threads, one name.
class OperatorCount {
 public:
  explicit OperatorCount(const char* name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    name_ = name;
    by_thread_.clear();
    handle_ = at::addGlobalCallback(
        at::RecordFunctionCallback(&OperatorCount::record).scopes({at::RecordScope::FUNCTION}));
  }
  ~OperatorCount() { at::removeCallback(handle_); }

  static std::map<uint64_t, int64_t> by_thread() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return by_thread_;
  }
  /// Calls in threads other than this one.
  static int64_t elsewhere() {
    int64_t count = 0;
    for (const auto& [thread, calls] : by_thread())
      count += thread == at::RecordFunction::currentThreadId() ? 0 : calls;
    return count;
  }

 private:
  static std::unique_ptr<at::ObserverContext> record(const at::RecordFunction& function) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (name_ == function.name()) ++by_thread_[at::RecordFunction::currentThreadId()];
    return nullptr;
  }

  static inline std::mutex mutex_;
  static inline std::string name_;
  static inline std::map<uint64_t, int64_t> by_thread_;
  at::CallbackHandle handle_ = 0;
};

/// What a batch begins with: once for its tokens, once for its targets.
constexpr const char* kBatchOperator = "aten::full";

TEST_F(OptionEffects, WorkersAreAThreadOfTheirOwn) {
  for (const int workers : {0, 1, 4}) {
    SCOPED_TRACE(workers);
    const OperatorCount count(kBatchOperator);
    train("run", {{"num-workers", std::to_string(workers)},
                  {"max-update", "2"},
                  {"no-save", "true"},
                  {"disable-validation", "true"}});
    EXPECT_EQ(OperatorCount::by_thread().size(), 1U);
    EXPECT_EQ(OperatorCount::elsewhere() > 0, workers > 0);
  }
}

TEST_F(OptionEffects, BatchesArePreparedAhead) {
  for (const int64_t buffer : {1, 5}) {
    SCOPED_TRACE(buffer);
    const OperatorCount count(kBatchOperator);
    // One is used, these wait, and one more is in the worker's hands.
    const int64_t expected = 2 * (1 + buffer + 1);
    train("run",
          {{"data-buffer-size", std::to_string(buffer)}, {"no-save", "true"}, {"disable-validation", "true"}},
          [&](int) {
            const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
            while (OperatorCount::elsewhere() < expected && std::chrono::steady_clock::now() < patience)
              std::this_thread::sleep_for(std::chrono::milliseconds(1));
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            EXPECT_EQ(OperatorCount::elsewhere(), expected);
            return true;
          });
  }
}

TEST_F(OptionEffects, ValidationIsCutIntoBatches) {
  struct Found {
    int64_t num_batches;
    double loss;
  };
  const auto validate = [&](const Options& options) {
    // Batches of training are made elsewhere.
    const OperatorCount count(kBatchOperator);
    const RunResult run =
        train("run", with({{"lr", "0"}, {"max-update", "1"}, {"no-save", "true"}}, options));
    const auto here = OperatorCount::by_thread()[at::RecordFunction::currentThreadId()];
    return Found{here / 2, run.events("valid").at(0).at("loss")};
  };
  const Found usual = validate({});
  for (const auto& [option, value] : Options{{"batch-size-valid", "1"}, {"max-tokens-valid", "16"}}) {
    SCOPED_TRACE(option);
    const Found single = validate({{option, value}});
    EXPECT_GT(single.num_batches, 7 * usual.num_batches);
    EXPECT_NEAR(single.loss, usual.loss, 1e-6 * usual.loss);
  }
  // Without them the limits are those of training.
  EXPECT_GT(validate({{"max-tokens", "16"}}).num_batches, 7 * usual.num_batches);
  EXPECT_GT(validate({{"batch-size", "1"}}).num_batches, 7 * usual.num_batches);
  EXPECT_EQ(validate({{"batch-size", "1"}, {"batch-size-valid", "8"}}).num_batches, usual.num_batches);
}

TEST_F(OptionEffects, ThreadsOfComputation) {
  const int before = at::get_num_threads();
  for (const int threads : {2, 1}) {
    train("run", {{"threads", std::to_string(threads)}, {"max-update", "1"}, {"no-save", "true"}});
    EXPECT_EQ(at::get_num_threads(), threads);
  }
  at::set_num_threads(before);
}

}  // namespace
}  // namespace quantnoise::test
