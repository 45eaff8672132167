// Illegal instructions cannot happen: the tests of the core wing on emulated processors without the newer
// instruction sets (qemu-user). Skipped where qemu or the processor it stands for is not at hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace quantnoise {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

struct Outcome {
  int status = 0;  ///< exit code, or 128 + the signal that ended the program
  std::string output;
};

Outcome run(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return {127, "cannot start " + command};
  std::array<char, 4096> buffer;
  for (size_t count = 0; (count = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    outcome.output.append(buffer.data(), count);
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

std::string emulator() {
#if defined(__x86_64__)
  for (const char* name : {"qemu-x86_64-static", "qemu-x86_64"}) {
    if (run(std::string("command -v ") + name).status == 0) return name;
  }
#endif
  return "";
}

class OldProcessor : public ::testing::Test {
 protected:
  void SetUp() override {
    emulator_ = emulator();
    if (emulator_.empty()) {
      GTEST_SKIP() << "no qemu-x86_64 on an x86-64 machine; hint: scripts/setup --extended";
    }
  }

  /// A program of this build on an emulated processor.
  Outcome run_on(const std::string& processor, const std::string& environment, const std::string& program,
                 const std::string& arguments) const {
    const fs::path path = fs::path(QN_BINARY_DIR) / "bin" / program;
    return run(environment + " " + emulator_ + " -cpu " + processor + " '" + path.string() + "' " +
               arguments);
  }

  std::string emulator_;
};

constexpr const char* kOwnSet = "--gtest_filter=InstructionSet.DescriptionNamesTheSetInUse";
// Emulators before version 8 take the wrong register for the index of a gather.
constexpr const char* kWithoutGathers = "--gtest_filter=-*LookupSets*avx2";

TEST_F(OldProcessor, TheEmulatorKnowsWhatAProcessorLacks) {
  const std::string own_name = fs::read_symlink("/proc/self/exe").filename().string();
  const std::string arguments = "--gtest_also_run_disabled_tests --gtest_filter=*ANewInstruction";
  EXPECT_EQ(run_on("Nehalem", "", own_name, arguments).status, 128 + SIGILL);
  EXPECT_EQ(run_on("Haswell", "", own_name, arguments).status, 0);
}

#if defined(__x86_64__)
TEST(DISABLED_OnAnEmulator, ANewInstruction) { asm volatile("vpaddd %%ymm0, %%ymm0, %%ymm1" ::: "xmm1"); }
#endif

TEST_F(OldProcessor, OneOf2008TakesThePortableKernels) {
  const Outcome kernels = run_on("Nehalem", "", "test_kernels", "");
  EXPECT_EQ(kernels.status, 0) << kernels.output;
  EXPECT_THAT(kernels.output, HasSubstr("/portable"));
  EXPECT_THAT(kernels.output, Not(HasSubstr("/avx2")));
}

class ProgramsOn2008 : public OldProcessor, public ::testing::WithParamInterface<const char*> {};

TEST_P(ProgramsOn2008, Pass) {
  const Outcome outcome = run_on("Nehalem", "", GetParam(), "");
  EXPECT_EQ(outcome.status, 0) << outcome.output;
}

INSTANTIATE_TEST_SUITE_P(All, ProgramsOn2008, ::testing::Values("test_pack", "test_text", "test_runtime"),
                         [](const auto& info) { return std::string(info.param); });

TEST_F(OldProcessor, OneOf2013TakesAvx2AndNothingBeyond) {
  const Outcome kernels = run_on("Haswell", "", "test_kernels", kWithoutGathers);
  EXPECT_EQ(kernels.status, 0) << kernels.output;
  EXPECT_THAT(kernels.output, HasSubstr("/avx2"));
  EXPECT_THAT(kernels.output, Not(HasSubstr("/avx512")));
  // What gathers may give wrong numbers there, but no signal.
  const Outcome lookups = run_on("Haswell", "", "test_kernels", "--gtest_filter=*LookupSets*");
  EXPECT_LT(lookups.status, 128) << lookups.output;
}

TEST_F(OldProcessor, AskedForPortableItTakesThat) {
  const Outcome outcome = run_on("Haswell", "QN_CPU=portable", "test_runtime", "");
  EXPECT_EQ(outcome.status, 0) << outcome.output;
}

TEST_F(OldProcessor, MachineAndBuildThatLackASetSaySo) {
  const Outcome machine = run_on("Nehalem", "QN_CPU=avx2", "test_kernels", kOwnSet);
  EXPECT_EQ(machine.status, 1);
  EXPECT_THAT(machine.output, HasSubstr("QN_CPU=avx2: this machine's processor lacks avx2"));
  const Outcome build = run_on("Nehalem", "QN_CPU=neon", "test_kernels", kOwnSet);
  EXPECT_EQ(build.status, 1);
  EXPECT_THAT(build.output, HasSubstr("QN_CPU=neon: this build has no kernels for neon"));
}

}  // namespace
}  // namespace quantnoise
