// A run that is stopped anywhere and gone on with ends with the same bytes.

#include <gmock/gmock.h>

#include <csignal>
#include <filesystem>

#include "fixture.h"

namespace quantnoise::cmd_test {
namespace {

using testing::HasSubstr;

class Resume : public CommandTest {
 protected:
  /// Runs `arguments`, killing it each time the text of the next moment appears; then to its end.
  void run_with_kills(const std::vector<std::string>& first, const std::vector<std::string>& again,
                      const std::vector<std::string>& moments) {
    bool is_first = true;
    for (const std::string& moment : moments) {
      Process process(is_first ? first : again, folder_);
      ASSERT_TRUE(process.wait_for(moment)) << process.wait().err;
      process.send(SIGKILL);
      EXPECT_EQ(process.wait().exit_code, 128 + SIGKILL) << "the run was over before " << moment;
      is_first = false;
    }
    const Result result = qn_ok(again);
    EXPECT_THAT(result.err, HasSubstr("going on from"));
  }
};

std::string update(int number) { return "\"update\":" + std::to_string(number) + ","; }

TEST_F(Resume, DenseTrainingAfterKillsEqualsNoKill) {
  const std::vector<std::string> more = {"--quant-noise-pq",
                                         "0.2",
                                         "--quant-noise-pq-block-size",
                                         "4",
                                         "--update-freq",
                                         "2",
                                         "--max-update",
                                         "40",
                                         "--save-interval-updates",
                                         "1",
                                         "--keep-interval-updates",
                                         "1",
                                         "--validate-interval-updates",
                                         "3",
                                         "--lr-scheduler",
                                         "cosine"};
  qn_ok(train_arguments(path("whole"), more));
  const std::vector<std::string> arguments = train_arguments(path("killed"), more);
  run_with_kills(arguments, arguments, {update(2), update(13), update(29)});
  EXPECT_EQ(read_file(path("whole/model.qn")), read_file(path("killed/model.qn")));
}

TEST_F(Resume, StagesAfterKillsEqualNoKill) {
  const std::string dense = train_model();
  const std::vector<std::string> more = {
      "--save-interval-updates", "1", "--keep-interval-updates", "1", "--max-update", "36"};
  qn_ok(stage_arguments(path("whole"), dense, more));
  const auto first = stage_arguments(path("killed"), dense, more);
  const auto again = stage_arguments(path("killed"), path("killed/checkpoint_last.qn"), more);
  // Inside the first stage, where the second begins, inside the second, inside the third.
  run_with_kills(first, again, {update(4), update(12), update(17), update(30)});
  EXPECT_EQ(read_file(path("whole/model.qn")), read_file(path("killed/model.qn")));
  EXPECT_EQ(read_file(path("whole/model_stage2.qn")), read_file(path("killed/model_stage2.qn")));
  // A dense checkpoint is as good a start as its model file.
  qn_ok(stage_arguments(path("checkpoint"), path("trained/checkpoint_best.qn"), more));
  EXPECT_EQ(read_file(path("whole/model.qn")), read_file(path("checkpoint/model.qn")));
}

TEST_F(Resume, InterruptSavesAndSaysHowToGoOn) {
  const std::vector<std::string> whole = train_arguments(path("whole"), {"--max-update", "60"});
  const std::vector<std::string> arguments = train_arguments(path("stopped"), {"--max-update", "60"});
  qn_ok(whole);
  Process process(arguments, folder_);
  ASSERT_TRUE(process.wait_for(update(3)));
  process.send(SIGINT);
  const Result stopped = process.wait();
  EXPECT_EQ(stopped.exit_code, 1);
  EXPECT_THAT(stopped.err,
              HasSubstr("saved " + path("stopped/checkpoint_last.qn") + "; go on with the same command"));
  EXPECT_FALSE(std::filesystem::exists(path("stopped/model.qn")));
  qn_ok(arguments);
  EXPECT_EQ(read_file(path("whole/model.qn")), read_file(path("stopped/model.qn")));
}

TEST_F(Resume, SecondInterruptEndsAtOnce) {
  Process process(train_arguments(path("run"), {"--max-update", "100000"}), folder_);
  ASSERT_TRUE(process.wait_for(update(1)));
  process.send(SIGTERM);
  process.send(SIGTERM);
  const int code = process.wait().exit_code;
  EXPECT_TRUE(code == 128 + SIGTERM || code == 1) << code;
}

}  // namespace
}  // namespace quantnoise::cmd_test
