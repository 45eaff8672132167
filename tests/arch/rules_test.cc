// The rules of the house, held against the source tree, and against small trees that break them.
#include "rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

namespace quantnoise::arch {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<SourceFile> program_sources() {
  return read_tree(QN_SOURCE_DIR, {"include", "src"}, {".h", ".cc"});
}

std::vector<SourceFile> all_sources() {
  return read_tree(QN_SOURCE_DIR,
                   {"include", "src", "tests", "bench", "fuzz", "examples", "scripts", "cmake"}, {});
}

TEST(ArrowsTest, TheTreeFollowsThem) { EXPECT_THAT(arrow_violations(program_sources()), IsEmpty()); }

TEST(ArrowsTest, TheyAreTransitiveAndPointOneWay) {
  const auto& allowed = allowed_components();
  EXPECT_EQ(allowed.at("learn/train").count("core/kernels"), 1u);
  EXPECT_EQ(allowed.at("core/kernels").count("core/codec"), 0u);
  for (const auto& [name, reached] : allowed) {
    for (const std::string& other : reached) {
      if (other == name) continue;
      EXPECT_EQ(allowed.at(other).count(name), 0u) << name << " and " << other;
      EXPECT_TRUE(starts_with(other, "core/") || !starts_with(name, "core/")) << name << " reaches " << other;
    }
  }
}

TEST(ArrowsTest, ViolationsAreFound) {
  EXPECT_THAT(
      arrow_violations({{"src/core/base/x.cc", "#include \"quantnoise/codec/product.h\"\n"}}),
      ElementsAre(HasSubstr("src/core/base/x.cc:1: core/base must not include quantnoise/codec/product.h")));
  EXPECT_THAT(arrow_violations({{"include/quantnoise/codec/x.h", "\n#include \"quantnoise/nn/linear.h\"\n"}}),
              ElementsAre(HasSubstr("x.h:2: core/codec must not include")));
  EXPECT_THAT(arrow_violations({{"src/learn/nn/x.cc", "#include \"learn/quant/rows.h\"\n"}}),
              ElementsAre(HasSubstr("is private to learn/quant")));
  EXPECT_THAT(arrow_violations({{"include/quantnoise/nn/x.h", "#include \"learn/nn/y.h\"\n"}}),
              ElementsAre(HasSubstr("a public header includes the private")));
  EXPECT_THAT(arrow_violations({{"src/core/base/x.cc", "#include \"file.h\"\n"}}),
              ElementsAre(HasSubstr("not written from include/ or src/")));
  EXPECT_THAT(arrow_violations({{"src/core/misc/x.cc", ""}}),
              ElementsAre(HasSubstr("belongs to no component")));
}

TEST(DependenciesTest, TheTreeKeepsThemInTheirPlaces) {
  EXPECT_THAT(dependency_violations(program_sources()), IsEmpty());
  EXPECT_THAT(torch_header_violations(program_sources()), IsEmpty());
}

TEST(DependenciesTest, ViolationsAreFound) {
  EXPECT_THAT(dependency_violations(
                  {{"src/core/pack/x.cc", "#include <torch/torch.h>\n#include <c10/util/Half.h>\n"}}),
              SizeIs(2));
  EXPECT_THAT(dependency_violations({{"include/quantnoise/pack/x.h", "#include <nlohmann/json.hpp>\n"}}),
              SizeIs(1));
  EXPECT_THAT(dependency_violations({{"src/learn/train/x.cc", "#include <yaml-cpp/yaml.h>\n"}}), SizeIs(1));
  EXPECT_THAT(torch_header_violations({{"include/quantnoise/nn/x.h", "at::Tensor f();\n"}}), SizeIs(1));
  EXPECT_THAT(
      torch_header_violations({{"include/quantnoise/nn/x.h", "#include <torch/torch.h>\nat::Tensor f();\n"}}),
      IsEmpty());
}

TEST(OutputTest, LibrariesNeitherPrintNorEndTheProcess) {
  EXPECT_THAT(output_violations(program_sources()), IsEmpty());
}

TEST(OutputTest, ViolationsAreFound) {
  const auto found = [](const std::string& text) {
    return output_violations({{"src/core/base/x.cc", text}}).size();
  };
  EXPECT_EQ(found("  exit(1);\n"), 1u);
  EXPECT_EQ(found("  std::abort();\n"), 1u);
  EXPECT_EQ(found("  ::exit(1);\n"), 1u);
  EXPECT_EQ(found("  std::fprintf(stderr, \"x\");\n"), 1u);
  EXPECT_EQ(found("  std::cerr << 1;\n"), 1u);
  EXPECT_EQ(
      found("  int code = exit_code(kind); // exit(1)\n  log(\"abort()\");\n  std::snprintf(b, 3, \"\");\n"),
      0u);
  EXPECT_EQ(found("  const int n = 1'000; worker.exit(1);\n"), 0u);
  EXPECT_THAT(output_violations({{"src/tools/qn/x.cc", "std::cout << 1;\n"}}), IsEmpty());
}

TEST(InstructionSetsTest, TheirFilesReachNoStandardTemplates) {
  EXPECT_THAT(isa_violations(program_sources()), IsEmpty());
}

TEST(InstructionSetsTest, ViolationsAreFound) {
  EXPECT_THAT(isa_violations({{"src/core/kernels/sum_avx2.cc", "#include \"core/kernels/sum.h\"\n"},
                              {"src/core/kernels/sum.h", "#include <cstdint>\n#include <vector>\n"}}),
              ElementsAre(HasSubstr("sum_avx2.cc: reaches <vector> through src/core/kernels/sum.h:2")));
}

TEST(FilesTest, NoneIsLongerThanAFewScreens) {
  const std::vector<std::string> code = {".h", ".cc", ".py", ".cmake", ".txt", ""};
  EXPECT_THAT(
      length_violations(
          read_tree(QN_SOURCE_DIR,
                    {"include", "src", "tests", "bench", "fuzz", "examples", "scripts", "cmake"}, code),
          400),
      IsEmpty());
  EXPECT_THAT(length_violations({{"x.cc", "1\n2\n3\n"}}, 2), SizeIs(1));
}

TEST(FilesTest, NamesAreSnakeCase) {
  static const std::regex snake("[a-z0-9]+(_[a-z0-9]+)*\\.(h|cc)");
  for (const SourceFile& file :
       read_tree(QN_SOURCE_DIR, {"include", "src", "tests", "bench", "fuzz", "examples"}, {".h", ".cc"})) {
    const std::string name = std::filesystem::path(file.path).filename().string();
    EXPECT_TRUE(std::regex_match(name, snake)) << file.path;
  }
}

TEST(FilesTest, NothingIsLeftUndoneOrBoundToAMachine) {
  // Assembled from pieces, so that this file does not find itself.
  const std::vector<std::string> everywhere = {
      std::string("\\bTO") + "DO\\b", std::string("\\bFIX") + "ME\\b", std::string("/wo") + "rk/",
      std::string("/ro") + "ot/",     std::string("/ho") + "me/[a-z]", std::string("\\bfac") + "ts [0-9D]"};
  EXPECT_THAT(text_violations(all_sources(), everywhere), IsEmpty());
  const auto outside_tests = read_tree(QN_SOURCE_DIR,
                                       {"include", "src", "bench", "examples", "scripts", "cmake", "recipes",
                                        "docs", "README.md", "CONTRIBUTING.md", "Makefile", "CMakeLists.txt"},
                                       {});
  const std::vector<std::string> hosts = {std::string("[^a-z]/t") + "mp/", std::string("py") + "pi\\.org",
                                          std::string("python") + "hosted\\.org",
                                          std::string("download\\.py") + "torch"};
  EXPECT_THAT(text_violations(outside_tests, hosts), IsEmpty());
}

TEST(TestsTest, EveryTestFileIsBuilt) {
  const auto lists = read_tree(QN_SOURCE_DIR, {"tests/CMakeLists.txt"}, {});
  ASSERT_THAT(lists, SizeIs(1));
  for (const SourceFile& file : read_tree(QN_SOURCE_DIR, {"tests"}, {".cc"})) {
    const std::filesystem::path path = std::filesystem::path(file.path).lexically_relative("tests");
    const std::string component = path.parent_path().generic_string();
    EXPECT_THAT(lists[0].text, HasSubstr("qn_test(" + component + " "))
        << file.path << " is in no executable";
    const bool has_tests =
        std::regex_search(file.text, std::regex("(^|\n)(TEST|TEST_F|TEST_P|TYPED_TEST)\\("));
    EXPECT_EQ(has_tests, ends_with(file.path, "_test.cc"))
        << file.path << ": tests live in *_test.cc, and only there";
  }
}

// Fuzz targets are the public of the core wing, and nothing is left out of the build.
TEST(FuzzTest, TargetsAreBuiltAndSeePublicHeadersAlone) {
  const auto lists = read_tree(QN_SOURCE_DIR, {"fuzz/CMakeLists.txt"}, {});
  ASSERT_THAT(lists, SizeIs(1));
  for (const SourceFile& file : read_tree(QN_SOURCE_DIR, {"fuzz"}, {".h", ".cc"})) {
    for (const Include& include : includes_of(file)) {
      if (!include.quoted || include.name == "fuzz_target.h" || include.name == "model_bytes.h") continue;
      EXPECT_TRUE(starts_with(include.name, "quantnoise/") &&
                  starts_with(component_of_include(include.name), "core/"))
          << file.path << ":" << include.line << ": " << include.name;
    }
    const std::string name = std::filesystem::path(file.path).filename().string();
    const size_t suffix = name.rfind("_fuzz.cc");
    EXPECT_EQ(
        file.text.find("LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {") != std::string::npos,
        suffix != std::string::npos)
        << file.path << ": targets live in *_fuzz.cc, and only there";
    if (suffix != std::string::npos) {
      EXPECT_THAT(lists[0].text, HasSubstr("qn_fuzz(" + name.substr(0, suffix) + " ")) << file.path;
    }
  }
}

TEST(RecipesTest, EachOneIsRunByATestOrExplained) {
  const auto readers = read_tree(QN_SOURCE_DIR, {"tests", "docs", "README.md", "scripts"}, {});
  for (const SourceFile& recipe : read_tree(QN_SOURCE_DIR, {"recipes"}, {".yaml", ".yml"})) {
    const std::string name = std::filesystem::path(recipe.path).filename().string();
    const bool named = std::any_of(readers.begin(), readers.end(), [&](const SourceFile& file) {
      return file.text.find(name) != std::string::npos;
    });
    EXPECT_TRUE(named) << recipe.path << " is named in no test and in no document";
  }
}

}  // namespace
}  // namespace quantnoise::arch
