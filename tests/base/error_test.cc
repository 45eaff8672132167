#include "quantnoise/base/error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "quantnoise/base/checked.h"

namespace quantnoise {
namespace {

TEST(Error, ExitCodes) {
  EXPECT_EQ(exit_code(ErrorKind::kFailed), 1);
  EXPECT_EQ(exit_code(ErrorKind::kIo), 1);
  EXPECT_EQ(exit_code(ErrorKind::kNumeric), 1);
  EXPECT_EQ(exit_code(ErrorKind::kUsage), 2);
  EXPECT_EQ(exit_code(ErrorKind::kConfig), 2);
  EXPECT_EQ(exit_code(ErrorKind::kData), 3);
  EXPECT_EQ(exit_code(ErrorKind::kFormat), 3);
  EXPECT_EQ(exit_code(ErrorKind::kUnsupported), 4);
  EXPECT_EQ(exit_code(ErrorKind::kInternal), 70);
}

TEST(Error, ContextIsAddedOnTheWayUp) {
  try {
    try {
      throw Error(ErrorKind::kNumeric, "loss is nan", "lower the learning rate");
    } catch (Error& error) {
      throw error.in("layer fc1").in("update 7");
    }
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "in update 7: in layer fc1: loss is nan");
    EXPECT_EQ(error.message(), "loss is nan");
    EXPECT_EQ(error.hint(), "lower the learning rate");
    EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
  }
}

TEST(Error, RequireThrowsWithItsParts) {
  EXPECT_NO_THROW(QN_REQUIRE(1 + 1 == 2, ErrorKind::kData, "never"));
  try {
    QN_REQUIRE(false, ErrorKind::kData, "rows: found ", 3, ", expected ", 4);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rows: found 3, expected 4");
    EXPECT_EQ(error.kind(), ErrorKind::kData);
  }
}

TEST(Error, InvariantNamesItsPlace) {
  try {
    QN_INVARIANT(1 > 2);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    EXPECT_NE(std::string(error.what()).find("1 > 2"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("error_test.cc"), std::string::npos);
  }
}

TEST(Error, EditDistance) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("abc", ""), 3);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("dropout", "dropuot"), 2);
}

TEST(Error, NearestNames) {
  const std::vector<std::string> known = {"dropout", "attention-dropout", "lr", "lr-scheduler", "drop-out"};
  EXPECT_EQ(nearest_names("dropuot", known, 1), std::vector<std::string>{"dropout"});
  EXPECT_EQ(nearest_names("droput", known).front(), "dropout");
  EXPECT_TRUE(nearest_names("xyzzy-quux-corge", known).empty());
  EXPECT_TRUE(nearest_names("lr", {}).empty());
}

TEST(Error, TextIsThatOfStreams) {
  const std::string text = "text";
  const uint8_t byte = 'b';
  const void* nowhere = nullptr;
  std::ostringstream stream;
  const auto expect_same = [&](const auto& value) {
    stream.str("");
    stream << value;
    EXPECT_EQ(str_cat(value), stream.str());
  };
  expect_same(text);
  expect_same(std::string_view(text).substr(1));
  expect_same(text.c_str());
  expect_same("literal");
  expect_same('c');
  expect_same(byte);
  expect_same(true);
  expect_same(-7);
  expect_same(uint16_t{65535});
  expect_same(INT64_MIN);
  expect_same(UINT64_MAX);
  for (const double value :
       {0.0, -0.0, 0.1, 1e-5, 123456.0, 1234567.0, 1e300, 2.5e-310, std::nan(""), HUGE_VAL})
    expect_same(value);
  expect_same(0.1f);
  expect_same(std::filesystem::path("a b"));
  expect_same(nowhere);
  EXPECT_EQ(str_cat(), "");
  EXPECT_EQ(str_cat("a", 1, 'b', 2.5, text), "a1b2.5text");
}

TEST(Error, Join) {
  EXPECT_EQ(join(std::vector<int>{}, ", "), "");
  EXPECT_EQ(join(std::vector<int>{1, 2, 3}, ", "), "1, 2, 3");
}

TEST(Checked, Products) {
  EXPECT_EQ(base::checked_mul(1ull << 32, (1ull << 32) - 1, "x"), (1ull << 32) * ((1ull << 32) - 1));
  try {
    base::checked_mul(1ull << 32, 1ull << 32, "tensor fc1");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kFormat);
    EXPECT_NE(std::string(error.what()).find("tensor fc1"), std::string::npos);
  }
}

TEST(Checked, Sums) {
  EXPECT_EQ(base::checked_add(UINT64_MAX - 1, 1, "x"), UINT64_MAX);
  EXPECT_THROW(base::checked_add(UINT64_MAX, 1, "x"), Error);
}

TEST(Checked, Rounding) {
  EXPECT_EQ(base::ceil_div(0, 64), 0);
  EXPECT_EQ(base::ceil_div(1, 64), 1);
  EXPECT_EQ(base::ceil_div(64, 64), 1);
  EXPECT_EQ(base::ceil_div(65, 64), 2);
  EXPECT_EQ(base::round_up(65, 64), 128);
  EXPECT_EQ(base::round_up(128, 64), 128);
}

}  // namespace
}  // namespace quantnoise
