// Language models against values of an independent program (tests/golden/runtime).

#include "quantnoise/runtime/language_model.h"

#include <gmock/gmock.h>

#include "../base/temporary_folder.h"
#include "golden_model.h"
#include "quantnoise/base/error.h"
#include "quantnoise/runtime/generate.h"

namespace quantnoise::runtime {
namespace {

using test::golden_file;
using test::golden_models;
using test::json;
using testing::HasSubstr;

std::vector<ScoredTokens> texts_of(const json& golden) {
  std::vector<ScoredTokens> texts;
  for (size_t i = 0; i < golden["tokens"].size(); ++i)
    texts.push_back(
        {golden["tokens"][i].get<std::vector<int64_t>>(), golden["targets"][i].get<std::vector<int64_t>>()});
  return texts;
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& [name, golden] : golden_models().items()) names.push_back(name);
  return names;
}

/// Look-up tables of 16 bits are exact to a relative squared error of 1e-8 a product, all else is fp32.
double tolerance(const json& golden, double expected) {
  for (const auto& [name, record] : golden["weights"].items()) {
    if (record["scheme"] == "pq") return 2e-4 * (1 + std::abs(expected));
  }
  return 1e-5 * (1 + std::abs(expected));
}

class GoldenModel : public testing::TestWithParam<std::string> {
 protected:
  const json& golden() const { return golden_models().at(GetParam()); }
  std::shared_ptr<const LanguageModel> model() const {
    return LanguageModel::from_file(golden_file(golden()), "golden");
  }
};

TEST_P(GoldenModel, LogProbabilities) {
  const auto loaded = model();
  for (const int num_threads : {1, 3}) {
    // With few rows at once a text passes in parts, each seeing those before through the cache.
    for (const int64_t work_bytes : {int64_t{1}, int64_t{1} << 24}) {
      Session session(loaded, {.num_threads = num_threads, .work_bytes = work_bytes});
      const auto found = session.log_probs(texts_of(golden()));
      for (size_t i = 0; i < found.size(); ++i) {
        for (size_t t = 0; t < found[i].size(); ++t) {
          const double expected = golden()["log_probs"][i][t];
          EXPECT_NEAR(found[i][t], expected, tolerance(golden(), expected)) << i << " " << t;
        }
      }
    }
  }
}

TEST_P(GoldenModel, TokenByTokenGivesTheSameProbabilities) {
  const auto loaded = model();
  Session session(loaded);
  const auto tokens = golden()["tokens"][0].get<search::Tokens>();
  for (size_t prompt_size = 1; prompt_size <= tokens.size(); prompt_size += 3) {
    const search::Tokens prompt(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(prompt_size));
    std::span<const float> logits = session.start({&prompt, 1}, 2);
    for (size_t t = prompt_size; t < tokens.size(); ++t)
      logits = session.advance(search::Tokens(2, tokens[t]));
    const auto vocabulary = static_cast<size_t>(loaded->vocab_size());
    ASSERT_EQ(logits.size(), 2 * vocabulary);
    double sum = 0;
    for (size_t i = 0; i < vocabulary; ++i) sum += std::exp(static_cast<double>(logits[i]));
    for (size_t i = 0; i < vocabulary; ++i) {
      const double expected = golden()["last_log_probs"][i];
      EXPECT_NEAR(logits[i] - std::log(sum), expected, tolerance(golden(), expected));
      EXPECT_EQ(logits[i], logits[vocabulary + i]);
    }
  }
}

TEST_P(GoldenModel, ThroughAFile) {
  const quantnoise::test::TemporaryFolder folder;
  const std::string path = folder.file("model.qn");
  pack::write_model_file(path, golden_file(golden()));
  Session from_file(LanguageModel::open(path));
  Session from_memory(model());
  EXPECT_EQ(from_file.log_probs(texts_of(golden())), from_memory.log_probs(texts_of(golden())));
}

TEST(Session, AFailedStepEndsItsSequences) {
  Session session(LanguageModel::from_file(golden_file(golden_models().at("pq_tied")), "golden"));
  const search::Tokens prompt = {2, 5};
  session.start({&prompt, 1}, 2);
  EXPECT_THROW(session.select(search::Tokens{0, 2}), Error);
  EXPECT_THROW(session.advance(search::Tokens{5, -1}), Error);
  EXPECT_THROW(session.advance(search::Tokens{5, 5}), Error) << "what the sequences have read is not known";
  session.start({&prompt, 1}, 2);
  EXPECT_EQ(session.advance(search::Tokens{5, 5}).size(),
            2 * static_cast<size_t>(session.model().vocab_size()));
}

/// The error of a model with other options.
std::string error_with(const json& changes) {
  pack::ModelFile file = golden_file(golden_models().at("pq_tied"));
  json options = json::parse(file.options_json);
  options.update(changes);
  file.options_json = options.dump();
  try {
    LanguageModel::from_file(file, "changed");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kFormat);
    return error.what();
  }
  return "no error";
}

TEST(LanguageModel, OptionsThatNoFileCanMean) {
  EXPECT_THAT(error_with({{"decoder_layers", 1 << 30}, {"share_layers", 1 << 29}}),
              HasSubstr("decoder-layers: found 1073741824, expected at most 10000"));
  EXPECT_THAT(error_with({{"max_target_positions", int64_t{1} << 62}}),
              HasSubstr("expected at most 2147483648"));
  EXPECT_THAT(error_with({{"padding_idx", -3}}), HasSubstr("padding index: found -3, expected 0 to 22"));
  EXPECT_THAT(error_with({{"decoder_ffn_embed_dim", 32}}),
              HasSubstr("found shape (24, 16), expected (32, 16)"));
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenModel, testing::ValuesIn(case_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace quantnoise::runtime
