// The C interface says what the C++ interface says, for every kind of file, and from several threads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "../base/temporary_folder.h"
#include "golden_model.h"
#include "quantnoise/runtime/generate.h"
#include "quantnoise/runtime/quantnoise.h"
#include "quantnoise/runtime/score.h"

namespace quantnoise::runtime {
namespace {

using ::testing::HasSubstr;

/// A golden model as a file, opened through both interfaces.
class CInterface : public ::testing::TestWithParam<std::string> {
 protected:
  CInterface() {
    path_ = folder_.file("model.qn");
    pack::write_model_file(path_, test::golden_file(test::golden_models().at(GetParam())));
    model_ = LanguageModel::open(path_);
    EXPECT_EQ(qn_model_open(path_.c_str(), &handle_), QN_OK) << qn_last_error();
  }
  ~CInterface() override { qn_model_close(handle_); }

  qn_session* open_session(int threads, bool fast = false) {
    qn_session_options options = QN_SESSION_OPTIONS_INIT;
    options.num_threads = threads;
    options.fast = fast ? 1 : 0;
    qn_session* session = nullptr;
    EXPECT_EQ(qn_session_open(handle_, &options, &session), QN_OK) << qn_last_error();
    return session;
  }
  static std::string generated(qn_session* session, const std::string& prompt,
                               const qn_generate_options& options) {
    std::string text(4096, '\0');
    size_t length = 0;
    EXPECT_EQ(qn_generate(session, prompt.data(), prompt.size(), &options, text.data(), text.size(), &length),
              QN_OK)
        << qn_last_error();
    text.resize(length);
    return text;
  }

  quantnoise::test::TemporaryFolder folder_;
  std::string path_;
  std::shared_ptr<const LanguageModel> model_;
  qn_model* handle_ = nullptr;
};

qn_generate_options few_tokens() {
  qn_generate_options options = QN_GENERATE_OPTIONS_INIT;
  options.max_tokens = 6;
  options.seed = 3;
  return options;
}

TEST_P(CInterface, InfoIsThatOfTheModel) {
  qn_model_info info = QN_MODEL_INFO_INIT;
  ASSERT_EQ(qn_model_get_info(handle_, &info), QN_OK);
  EXPECT_EQ(info.architecture, model_->architecture());
  EXPECT_EQ(info.tokenizer, model_->tokenizer().name());
  EXPECT_EQ(info.vocab_size, model_->vocab_size());
  EXPECT_EQ(info.max_positions, model_->max_positions());
  EXPECT_EQ(info.num_layers, static_cast<int64_t>(model_->layers().size()));
  EXPECT_EQ(info.file_bytes, model_->memory().file);
  EXPECT_EQ(info.weight_bytes, model_->memory().weights);
}

TEST_P(CInterface, ScoresAreThoseOfTheSession) {
  const std::vector<int32_t> tokens = {5, 9, 4, 7, 11};
  const ScoredTokens text = {{text::kEos, 5, 9, 4, 7}, {5, 9, 4, 7, 11}};
  for (const bool fast : {false, true}) {
    SessionOptions options;
    options.arithmetic = fast ? Arithmetic::kFast : Arithmetic::kPrecise;
    Session session(model_, options);
    const std::vector<float> expected = session.log_probs({&text, 1}).front();
    for (const int threads : {1, 2, 3}) {
      qn_session* handle = open_session(threads, fast);
      std::vector<float> log_probs(tokens.size());
      ASSERT_EQ(qn_score_tokens(handle, tokens.data(), tokens.size(), log_probs.data()), QN_OK)
          << qn_last_error();
      EXPECT_EQ(log_probs, expected) << threads;
      const int32_t padding[] = {5, 1};
      EXPECT_EQ(qn_score_tokens(handle, padding, 2, log_probs.data()), QN_BAD_DATA);
      qn_session_close(handle);
    }
  }
  Session session(model_);
  ScoreOptions options = score_options(*model_);
  const ScoreResult expected = score(session, encode_text(*model_, "w5 w9\nw4"), options);
  // Lines end as in `qn preprocess`.
  EXPECT_EQ(encode_text(*model_, "w5\rw9\r\nw4")->num_tokens(),
            encode_text(*model_, "w5\nw9\nw4")->num_tokens());
  qn_session* handle = open_session(1);
  qn_score found = QN_SCORE_INIT;
  ASSERT_EQ(qn_score_text(handle, "w5 w9\nw4", 8, &found), QN_OK) << qn_last_error();
  EXPECT_EQ(found.num_tokens, expected.sum.num_tokens);
  EXPECT_EQ(found.log_prob, -expected.sum.nll);
  EXPECT_EQ(found.perplexity, expected.sum.perplexity());
  qn_session_close(handle);
}

TEST_P(CInterface, TextIsThatOfTheGenerator) {
  Session session(model_);
  search::GenerateOptions expected_options;
  expected_options.max_length = 6;
  expected_options.seed = 3;
  const std::string prompt = "w5 w9";
  const auto expected = generate_text(session, {&prompt, 1}, expected_options);
  qn_session* handle = open_session(2);
  EXPECT_EQ(generated(handle, prompt, few_tokens()), expected[0][0].text);

  expected_options.beam_size = 3;
  qn_generate_options beam = few_tokens();
  beam.beam_size = 3;
  EXPECT_EQ(generated(handle, prompt, beam),
            generate_text(session, {&prompt, 1}, expected_options)[0][0].text);

  expected_options.beam_size = 0;
  expected_options.sampling.greedy = true;
  qn_generate_options lines = few_tokens();
  lines.greedy = 1;
  lines.stop_at_eos = 0;
  EXPECT_EQ(generated(handle, prompt, lines),
            generate_text(session, {&prompt, 1}, expected_options, false)[0][0].text);
  qn_session_close(handle);
}

struct Stream {
  std::vector<std::string> texts;
  std::vector<int32_t> tokens;
};

int collect(void* user_data, int32_t token, const char* text, size_t num_bytes) {
  auto* stream = static_cast<Stream*>(user_data);
  stream->texts.emplace_back(text, num_bytes);
  stream->tokens.push_back(token);
  return 0;
}

TEST_P(CInterface, AStreamEndsWithTheWholeText) {
  qn_session* handle = open_session(1);
  qn_generate_options options = few_tokens();
  options.min_tokens = 6;
  Stream stream;
  ASSERT_EQ(qn_generate_stream(handle, "w5 w9", 5, &options, collect, &stream), QN_OK) << qn_last_error();
  ASSERT_EQ(stream.texts.size(), 6u);
  EXPECT_EQ(stream.texts.back(), generated(handle, "w5 w9", options));
  qn_session_close(handle);
}

TEST_P(CInterface, SessionsOfOneModelRunSideBySide) {
  qn_session* alone = open_session(1);
  const std::string expected = generated(alone, "w5", few_tokens());
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&] {
      qn_session* own = open_session(1);
      text = generated(own, "w5", few_tokens());
      qn_session_close(own);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, expected);
  qn_session_close(alone);
}

TEST_P(CInterface, MessagesBelongToTheirThread) {
  qn_model* none = nullptr;
  EXPECT_EQ(qn_model_open("/nowhere/a", &none), QN_IO);
  std::thread([] { EXPECT_STREQ(qn_last_error(), ""); }).join();
  std::thread([&none] { EXPECT_EQ(qn_model_open("/nowhere/b", &none), QN_IO); }).join();
  EXPECT_THAT(qn_last_error(), HasSubstr("/nowhere/a"));
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& [name, model] : test::golden_models().items()) names.push_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, CInterface, ::testing::ValuesIn(golden_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace quantnoise::runtime
