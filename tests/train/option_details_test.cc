// Options of `qn train` whose effect a printed message would hide: what is computed is looked at, not what is
// said.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <iomanip>
#include <sstream>

#include "quantnoise/base/file.h"
#include "quantnoise/kernels/instruction_set.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/train/options.h"
#include "run_fixture.h"

namespace quantnoise::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class OptionDetails : public RunFixture {
 protected:
  std::map<std::string, std::string> trained(const Options& options) const {
    train("run", with({{"max-update", "3"}}, options));
    auto found = weights(path("run/model.qn"));
    std::filesystem::remove_all(path("run"));
    return found;
  }
  /// Validation losses by epochs.
  static std::vector<double> losses(const RunResult& run, const char* key = "loss") {
    std::vector<double> values;
    for (const auto& event : run.events("valid")) values.push_back(event.at(key));
    return values;
  }
  std::vector<std::string> ranked_files(const std::string& save_dir) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path(save_dir))) {
      const std::string name = entry.path().filename();
      if (name.starts_with("checkpoint.best_")) names.push_back(name);
    }
    return names;
  }
  static Options epochs(const Options& changes) {
    return with({{"max-update", "0"}, {"max-epoch", "3"}, {"keep-best-checkpoints", "1"}}, changes);
  }
};

TEST_F(OptionDetails, ArithmeticOfTraining) {
  const auto fp32 = trained({});
  const auto bf16 = trained({{"bf16", "true"}});
  EXPECT_NE(fp32, bf16);
  for (const char* same : {"fp16", "memory-efficient-fp16", "memory-efficient-bf16"}) {
    EXPECT_EQ(trained({{same, "true"}}), bf16) << same;
  }
  EXPECT_EQ(trained({{"amp", "true"}}), kernels::has_bf16_products() ? bf16 : fp32);
}

TEST_F(OptionDetails, ArithmeticOfValidation) {
  const RunResult fp32 = train("fp32", {{"max-update", "3"}});
  const RunResult bf16 = train("bf16", {{"max-update", "3"}, {"valid-precision", "bf16"}});
  EXPECT_EQ(weights(path("fp32/model.qn")), weights(path("bf16/model.qn")));
  EXPECT_NE(losses(fp32).back(), losses(bf16).back());
  EXPECT_NEAR(losses(fp32).back(), losses(bf16).back(), 0.02);
}

/// "6.476" as in the name of a file.
std::string rounded(double value) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(3) << value;
  return text.str();
}

TEST_F(OptionDetails, MetricOfTheBest) {
  const RunResult loss = train("loss", epochs({}));
  ASSERT_EQ(ranked_files("loss").size(), 1U);
  EXPECT_THAT(ranked_files("loss")[0], HasSubstr("best_loss_" + rounded(losses(loss).back()) + "_"));
  const RunResult ppl = train("ppl", epochs({{"best-checkpoint-metric", "ppl"}}));
  ASSERT_EQ(ranked_files("ppl").size(), 1U);
  // Perplexities are rounded to two places before they are compared.
  const double value = std::round(losses(ppl, "ppl").back() * 100) / 100;
  EXPECT_THAT(ranked_files("ppl")[0], HasSubstr("best_ppl_" + rounded(value) + "_"));
}

TEST_F(OptionDetails, LargestIsTheBest) {
  const Options plateau = {{"lr-scheduler", "reduce_lr_on_plateau"}, {"lr-threshold", "0"}};
  const RunResult falling = train("falling", epochs(plateau));
  const RunResult largest =
      train("largest", epochs(with(plateau, {{"maximize-best-checkpoint-metric", "true"}})));
  const std::vector<double> values = losses(largest);
  ASSERT_GT(values.front(), values.back());
  EXPECT_THAT(ranked_files("largest").at(0), HasSubstr("best_loss_" + rounded(values.front()) + "_"));
  // A falling value is a gain for one of them only.
  EXPECT_EQ(falling.events("train").back().at("lr"), 0.01);
  EXPECT_LT(largest.events("train").back().at("lr"), 0.01);
}

TEST_F(OptionDetails, WithoutEffectAreNamedOnceAndChangeNothing) {
  config::OptionTable table;
  train::declare_train_options(table);
  Options given;
  std::string list;
  for (const config::OptionSpec& spec : table.specs()) {
    if (!spec.no_effect) continue;
    given[spec.name] = spec.type == config::OptionType::kBool ? "true" : "1";
    list += (list.empty() ? "--" : ", --") + spec.name;
  }
  ASSERT_GT(given.size(), 20U);
  EXPECT_EQ(trained(given), trained({}));
  const std::string text = train("run", with(given, {{"max-update", "1"}})).text();
  EXPECT_THAT(text, HasSubstr("options without effect here: " + list + "\n"));
}

struct IdleCase {
  Options options;
  std::vector<std::string> idle;
};

TEST_F(OptionDetails, IdleOptionsAreNamedAndChangeNothing) {
  const std::vector<IdleCase> cases = {
      {{{"momentum", "0.5"}}, {"momentum"}},
      {{{"optimizer", "sgd"}, {"adam-betas", "(0.5, 0.5)"}, {"adam-eps", "0.1"}}, {"adam-betas", "adam-eps"}},
      {{{"activation-dropout", "0.1"}, {"relu-dropout", "0.3"}}, {"relu-dropout"}},
      {{{"warmup-init-lr", "0.1"}, {"min-lr", "1"}, {"t-mult", "3"}, {"lr-period-updates", "7"}},
       {"warmup-init-lr", "min-lr", "t-mult", "lr-period-updates"}},
      {{{"lr-shrink", "0.3"}, {"power", "2"}, {"max-lr", "3"}, {"lr-patience", "4"}},
       {"lr-shrink", "power", "max-lr", "lr-patience"}},
      {{{"lr-scheduler", "cosine"}, {"force-anneal", "1"}}, {"force-anneal"}},
      {{{"quant-noise-pq-block-size", "4"}, {"quant-noise-kind", "mean"}, {"quant-noise-start-update", "1"}},
       {"quant-noise-pq-block-size", "quant-noise-kind", "quant-noise-start-update"}},
      {{{"quant-noise-pq", "0.3"}, {"quant-noise-refresh", "1"}, {"pq-iterations", "2"}},
       {"quant-noise-refresh", "pq-iterations"}},
      {{{"quant-noise-pq", "0.3"}, {"quant-noise-kind", "mean"}, {"quant-noise-rescale", "false"}},
       {"quant-noise-rescale"}},
      {{{"scalar-method", "tensor"}, {"scalar-exclude", ".*"}, {"scalar-ste", "clipped"}},
       {"scalar-method", "scalar-exclude", "scalar-ste"}},
      {{{"quant-noise-scalar", "0.5"}, {"scalar-act-mode", "dynamic"}, {"scalar-act-method", "tensor"}},
       {"scalar-act-method"}},
      {{{"disable-validation", "true"}, {"valid-precision", "bf16"}, {"patience", "1"}},
       {"valid-precision", "patience"}},
      {{{"disable-validation", "true"}, {"lr-scheduler", "reduce_lr_on_plateau"}, {"lr-shrink", "0.5"}},
       {"lr-shrink"}},
      {{{"lr-scheduler", "inverse_sqrt"}, {"force-anneal", "1"}, {"lr-shrink", "0.5"}},
       {"lr-shrink", "force-anneal"}},
      {{{"keep-interval-updates-pattern", "2"}}, {"keep-interval-updates-pattern"}},
      {{{"num-workers", "0"}, {"data-buffer-size", "3"}}, {"data-buffer-size"}},
  };
  for (const IdleCase& item : cases) {
    SCOPED_TRACE(testing::PrintToString(item.idle));
    Options others = item.options;
    for (const std::string& name : item.idle) others.erase(name);
    EXPECT_EQ(trained(item.options), trained(others));
    std::string list;
    for (const std::string& name : item.idle) list += (list.empty() ? "--" : ", --") + name;
    const std::string text = train("run", with(item.options, {{"max-update", "1"}})).text();
    EXPECT_THAT(text, HasSubstr("options without effect here: " + list + "\n"));
    EXPECT_THAT(train("run", with(others, {{"max-update", "1"}})).text(), Not(HasSubstr("without effect")));
    std::filesystem::remove_all(path("run"));
  }
}

TEST_F(OptionDetails, FeedForwardFollowsTheWidthOfGpt3) {
  const Options gpt3 = {{"arch", "transformer_lm_gpt3_small"}, {"decoder-ffn-embed-dim", "(unset)"}};
  train("run", with(gpt3, {{"max-update", "1"}}));
  EXPECT_EQ(weights(path("run/model.qn")).at("decoder.layers.0.fc1.weight").size(),
            4U * 32 * 32 * sizeof(float));
}

TEST_F(OptionDetails, StartingAfreshIsNotAskedForTwice) {
  train("first", {{"max-update", "1"}});
  EXPECT_THAT(error_of("run", {{"finetune-from-model", path("first/model.qn")}, {"reset-optimizer", "true"}}),
              HasSubstr("--reset-optimizer and --finetune-from-model"));
}

class TimeLimit : public OptionDetails {
 protected:
  double stored_seconds(const std::string& key) const {
    return nlohmann::json::parse(pack::read_model_file(last()).training_json).at(key);
  }
  void store_seconds(double seconds) const {
    pack::ModelFile file = pack::read_model_file(last());
    auto state = nlohmann::json::parse(file.training_json);
    state["wall_seconds"] = seconds;
    file.training_json = state.dump();
    pack::write_model_file(last(), file);
  }
  std::string last() const { return path("run/checkpoint_last.qn"); }
};

TEST_F(TimeLimit, CountsAllTimeOfTheRunsItGoesOnWith) {
  train("run", {{"max-update", "2"}, {"validate-interval-updates", "1"}});
  EXPECT_GT(stored_seconds("wall_seconds"), stored_seconds("train_seconds"));
  store_seconds(5 * 3600);
  const Options limit = {{"max-update", "9"}, {"stop-time-hours", "4"}};
  const RunResult on = train("run", limit);
  EXPECT_EQ(on.events("done").at(0).at("updates"), 3);
  EXPECT_THAT(on.text(), HasSubstr("stopping: the time of --stop-time-hours is over"));
  EXPECT_GT(stored_seconds("wall_seconds"), 5 * 3600);
  // A new run from these weights has its own time.
  const RunResult anew =
      train("run", with(limit, {{"reset-optimizer", "true"}, {"reset-dataloader", "true"}}));
  EXPECT_EQ(anew.events("done").at(0).at("updates"), 9);
}

TEST_F(OptionDetails, OfEqualValuesTheLatestIsKept) {
  for (const char* maximize : {"false", "true"}) {
    SCOPED_TRACE(maximize);
    train("run", epochs({{"lr", "0"}, {"max-tokens", "512"}, {"maximize-best-checkpoint-metric", maximize}}));
    const std::vector<std::string> files = ranked_files("run");
    ASSERT_EQ(files.size(), 1U);
    const auto state = nlohmann::json::parse(pack::read_model_file(path("run/" + files[0])).training_json);
    EXPECT_EQ(state.at("iterator").at("epoch"), 4);
    std::filesystem::remove_all(path("run"));
  }
}

TEST_F(OptionDetails, DivergedValuesAreNotRanked) {
  train("run", epochs({{"lr", "7"}, {"clip-norm", "0"}, {"best-checkpoint-metric", "ppl"}}));
  for (const std::string& name : ranked_files("run")) EXPECT_LT(name.size(), 60U) << name;
}

// What an earlier run kept is not this run's to judge.
TEST_F(OptionDetails, WithoutValidationTheBestStay) {
  train("run", epochs({{"keep-best-checkpoints", "2"}}));
  ASSERT_EQ(ranked_files("run").size(), 2U);
  train("run", epochs({{"max-epoch", "4"}, {"disable-validation", "true"}, {"keep-best-checkpoints", "1"}}));
  EXPECT_EQ(ranked_files("run").size(), 2U);
}

TEST_F(OptionDetails, NothingIsSavedByUpdatesBeforeTheFirstValidation) {
  train("run", {{"max-update", "6"}, {"save-interval-updates", "2"}, {"validate-after-updates", "4"}});
  EXPECT_FALSE(std::filesystem::exists(path("run/checkpoint_1_2.qn")));
  EXPECT_TRUE(std::filesystem::exists(path("run/checkpoint_1_4.qn")));
}

TEST_F(OptionDetails, LogFormats) {
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

TEST_F(OptionDetails, LogFileHoldsEverything) {
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
