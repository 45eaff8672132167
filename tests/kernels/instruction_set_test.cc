#include "quantnoise/kernels/instruction_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/kernels/known_sets.h"
#include "quantnoise/base/error.h"

namespace quantnoise::kernels {
namespace {

using ::testing::HasSubstr;

Error error_of(std::string_view name, std::span<const KnownSet> sets) {
  try {
    choose_instruction_set(name, sets);
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorKind::kFailed, "no error");
}

TEST(InstructionSet, PortableIsAlwaysThere) {
  ASSERT_FALSE(available_instruction_sets().empty());
  EXPECT_STREQ(available_instruction_sets().front()->name, "portable");
  EXPECT_STREQ(choose_instruction_set("portable", known_instruction_sets()).name, "portable");
}

TEST(InstructionSet, EmptyNameTakesTheBestUsableSet) {
  EXPECT_STREQ(choose_instruction_set("", known_instruction_sets()).name,
               available_instruction_sets().back()->name);
}

TEST(InstructionSet, UnknownNameListsTheKnownOnes) {
  const Error error = error_of("sse9", known_instruction_sets());
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.what(), HasSubstr("portable, avx2, avx512"));
}

TEST(InstructionSet, MissingInMachineAndInBuildAreDifferentErrors) {
  const InstructionSet* portable = available_instruction_sets().front();
  const KnownSet sets[] = {
      {"portable", portable, true}, {"avx2", portable, false}, {"avx512", nullptr, true}};
  const Error machine = error_of("avx2", sets);
  const Error build = error_of("avx512", sets);
  EXPECT_EQ(machine.kind(), ErrorKind::kUnsupported);
  EXPECT_EQ(build.kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(machine.what(), HasSubstr("this machine's processor lacks avx2"));
  EXPECT_THAT(build.what(), HasSubstr("this build has no kernels for avx512"));
}

TEST(InstructionSet, DescriptionNamesTheSetInUse) {
  EXPECT_THAT(cpu_description(), HasSubstr(std::string("kernels: ") + instruction_set().name));
}

}  // namespace
}  // namespace quantnoise::kernels
