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
#include "quantnoise/base/file.h"
#include "quantnoise/base/log.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/train/options.h"
#include "quantnoise/train/task.h"

namespace quantnoise::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
/// What can be seen of a run. The options that files repeat (dropout rates, noise) are no part of it: they
/// would differ for an option that is otherwise ignored.
struct Observation {
  std::string error;
  std::vector<std::string> printed;                                 ///< without times
  std::map<std::string, std::map<std::string, std::string>> files;  ///< name → tensor → bytes
  std::vector<std::string> ties;

  bool operator==(const Observation&) const = default;
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
        for (const nlohmann::json& event : *events) seen.printed.push_back(without_times(event));
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

TEST_F(OptionEffects, LogFormats) {
  const auto run = [&](const char* format, bool no_bar = false) {
    return train_on_terminal("run", {{"log-format", format},
                                     {"no-progress-bar", no_bar ? "true" : "false"},
                                     {"max-update", "2"},
                                     {"log-interval", "1"},
                                     {"no-save", "true"}});
  };
  const auto lines = [](const RunResult& result) {
    std::string text;
    for (const nlohmann::json& line : result.events("line"))
      text += line.at("text").get<std::string>() + "\n";
    return text;
  };
  const RunResult json = run("json");
  EXPECT_EQ(json.events("train_inner").size(), 2U);
  EXPECT_THAT(json.events("line"), IsEmpty());
  EXPECT_THAT(json.status, IsEmpty());

  const RunResult simple = run("simple");
  EXPECT_THAT(lines(simple),
              AllOf(HasSubstr("train_inner | epoch 1 | update 2"), HasSubstr("done | updates 2")));
  EXPECT_THAT(simple.status, IsEmpty());

  const RunResult none = run("none");
  EXPECT_THAT(lines(none), AllOf(Not(HasSubstr("train_inner")), HasSubstr("done | updates 2")));

  for (const char* format : {"tqdm", "progress", "(unset)"}) {
    SCOPED_TRACE(format);
    const RunResult bar = run(format);
    EXPECT_THAT(bar.status, Contains(HasSubstr("train_inner | epoch 1 | update 2")));
    EXPECT_THAT(lines(bar), AllOf(Not(HasSubstr("train_inner")), HasSubstr("done | updates 2")));
    const RunResult no_bar = run(format, true);
    EXPECT_THAT(no_bar.status, IsEmpty());
    EXPECT_THAT(lines(no_bar), HasSubstr("train_inner | epoch 1 | update 2"));
  }
}

TEST_F(OptionEffects, LogFileHoldsEverything) {
  const Options options = {{"log-file", path("log.jsonl")},
                           {"log-format", "none"},
                           {"max-update", "2"},
                           {"log-interval", "1"},
                           {"no-save", "true"}};
  train("run", options);
  std::istringstream log(base::read_text_file(path("log.jsonl")));
  std::vector<std::string> events;
  for (std::string line; std::getline(log, line);) events.push_back(nlohmann::json::parse(line).at("event"));
  EXPECT_EQ(std::count(events.begin(), events.end(), "train_inner"), 2);
  EXPECT_THAT(events, AllOf(Contains("message"), Contains("valid"), Contains("done")));
  // Another run is added.
  train("run", options);
  std::istringstream both(base::read_text_file(path("log.jsonl")));
  size_t num_lines = 0;
  for (std::string line; std::getline(both, line);) ++num_lines;
  EXPECT_EQ(num_lines, 2 * events.size());
}

}  // namespace
}  // namespace quantnoise::test
