#include "quantnoise/kernels/kernel_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/kernels/kernel_sets.h"
#include "quantnoise/base/error.h"

namespace quantnoise::kernels {
namespace {

using ::testing::HasSubstr;

Error error_of(std::string_view name, std::span<const KernelSet> sets) {
  try {
    choose_kernel_table(name, sets);
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorKind::kFailed, "no error");
}

TEST(KernelTable, PortableIsAlwaysThere) {
  ASSERT_FALSE(available_kernel_tables().empty());
  EXPECT_STREQ(available_kernel_tables().front()->name, "portable");
  EXPECT_STREQ(choose_kernel_table("portable", known_kernel_sets()).name, "portable");
}

TEST(KernelTable, EmptyNameTakesTheBestUsableSet) {
  EXPECT_STREQ(choose_kernel_table("", known_kernel_sets()).name, available_kernel_tables().back()->name);
}

TEST(KernelTable, UnknownNameListsTheKnownOnes) {
  const Error error = error_of("sse9", known_kernel_sets());
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.what(), HasSubstr("portable, avx2, avx512"));
}

TEST(KernelTable, MissingInMachineAndInBuildAreDifferentErrors) {
  const KernelTable* portable = available_kernel_tables().front();
  const KernelSet sets[] = {
      {"portable", portable, true}, {"avx2", portable, false}, {"avx512", nullptr, true}};
  const Error machine = error_of("avx2", sets);
  const Error build = error_of("avx512", sets);
  EXPECT_EQ(machine.kind(), ErrorKind::kUnsupported);
  EXPECT_EQ(build.kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(machine.what(), HasSubstr("this machine's processor lacks avx2"));
  EXPECT_THAT(build.what(), HasSubstr("this build has no kernels for avx512"));
}

TEST(KernelTable, DescriptionNamesTheSetInUse) {
  EXPECT_THAT(cpu_description(), HasSubstr(std::string("kernels: ") + kernel_table().name));
}

}  // namespace
}  // namespace quantnoise::kernels
