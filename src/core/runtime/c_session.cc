// The C interface: sessions, scores, generation.

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/runtime/c_handles.h"
#include "core/runtime/c_text.h"
#include "quantnoise/runtime/generate.h"
#include "quantnoise/runtime/score.h"
#include "quantnoise/text/utf8.h"

namespace quantnoise::runtime {

namespace {

void require_flag(int32_t value, const char* name) {
  QN_REQUIRE(value == 0 || value == 1, ErrorKind::kUsage, name, ": found ", value, ", expected 0 or 1");
}

SessionOptions session_options(const qn_session_options* from) {
  const qn_session_options defaults = QN_SESSION_OPTIONS_INIT;
  const qn_session_options given = read_struct(from, defaults, "options");
  require_flag(given.fast, "options.fast");
  SessionOptions options;
  options.num_threads = given.num_threads;
  options.arithmetic = given.fast != 0 ? Arithmetic::kFast : Arithmetic::kPrecise;
  return options;
}

struct Generation {
  search::GenerateOptions options;
  bool stop_at_eos = true;
};

Generation generation_options(const qn_generate_options* from) {
  const qn_generate_options defaults = QN_GENERATE_OPTIONS_INIT;
  const qn_generate_options given = read_struct(from, defaults, "options");
  require_flag(given.greedy, "options.greedy");
  require_flag(given.stop_at_eos, "options.stop_at_eos");
  QN_REQUIRE(given.reserved == 0, ErrorKind::kUsage, "options.reserved: found ", given.reserved,
             ", expected 0");
  QN_REQUIRE(std::isfinite(given.unk_penalty), ErrorKind::kUsage, "options.unk_penalty: found ",
             given.unk_penalty, ", expected a number");
  Generation generation;
  search::GenerateOptions& options = generation.options;
  options.sampling.greedy = given.greedy != 0;
  options.sampling.temperature = given.temperature;
  options.sampling.top_k = given.top_k;
  options.sampling.top_p = given.top_p;
  options.beam_size = given.beam_size;
  options.length_penalty = given.length_penalty;
  options.max_length = given.max_tokens;
  options.min_length = given.min_tokens;
  options.penalty = given.unk_penalty;
  options.seed = given.seed;
  generation.stop_at_eos = given.stop_at_eos != 0;
  return generation;
}

std::string generate_one(Session& session, std::string_view prompt, const Generation& generation) {
  std::string storage;
  text::replace_invalid_utf8(prompt, storage);
  const std::string line(prompt);
  auto texts = generate_text(session, {&line, 1}, generation.options, generation.stop_at_eos);
  return std::move(texts.front().front().text);
}

}  // namespace

std::vector<int64_t> encode(const LanguageModel& model, std::string_view line) {
  std::string storage;
  text::replace_invalid_utf8(line, storage);
  return model.dictionary().encode_line(line, model.tokenizer(), /*append_eos=*/false);
}

}  // namespace quantnoise::runtime

namespace rt = quantnoise::runtime;

extern "C" {

qn_status qn_session_open(const qn_model* model, const qn_session_options* options, qn_session** session) {
  return rt::guarded([&] {
    auto found = rt::open_models().find(model, "model");
    rt::require_pointer(session, "session");
    const rt::SessionOptions given = rt::session_options(options);
    *session = rt::open_sessions().add(std::make_shared<rt::Session>(std::move(found), given));
    return QN_OK;
  });
}

void qn_session_close(qn_session* session) {
  rt::guarded([&] {
    rt::open_sessions().remove(session);
    return QN_OK;
  });
}

qn_status qn_score_tokens(qn_session* session, const int32_t* tokens, size_t num_tokens, float* log_probs) {
  return rt::guarded([&] {
    const auto found = rt::open_sessions().find(session, "session");
    rt::ScoredTokens text;
    text.target = rt::token_arguments(tokens, num_tokens);
    if (num_tokens == 0) return QN_OK;
    QN_REQUIRE(std::count(text.target.begin(), text.target.end(), quantnoise::text::kPad) == 0,
               quantnoise::ErrorKind::kData, "tokens: found padding (", quantnoise::text::kPad,
               "), expected words");
    rt::require_pointer(log_probs, "log_probs");
    text.source = {QN_TOKEN_EOS};
    text.source.insert(text.source.end(), text.target.begin(), text.target.end() - 1);
    const auto scores = found->log_probs({&text, 1});
    for (size_t i = 0; i < num_tokens; ++i) {
      QN_REQUIRE(!std::isnan(scores.front()[i]), quantnoise::ErrorKind::kNumeric, "the score of token ", i,
                 " is not a number");
    }
    std::memcpy(log_probs, scores.front().data(), num_tokens * sizeof(float));
    return QN_OK;
  });
}

qn_status qn_score_text(qn_session* session, const char* text, size_t num_bytes, qn_score* score) {
  return rt::guarded([&] {
    const auto found = rt::open_sessions().find(session, "session");
    const std::string_view given = rt::text_argument(text, num_bytes, "text");
    const rt::LanguageModel& model = found->model();
    const rt::ScoreResult result = rt::score(*found, rt::encode_text(model, given), rt::score_options(model));
    const qn_score full = {sizeof(qn_score), result.sum.num_tokens, -result.sum.nll, result.sum.perplexity()};
    rt::write_struct(full, score, "score");
    return QN_OK;
  });
}

qn_status qn_generate(qn_session* session, const char* prompt, size_t num_prompt_bytes,
                      const qn_generate_options* options, char* text, size_t capacity, size_t* num_bytes) {
  return rt::guarded([&] {
    const auto found = rt::open_sessions().find(session, "session");
    rt::require_pointer(num_bytes, "num_bytes");
    const std::string_view given = rt::text_argument(prompt, num_prompt_bytes, "prompt");
    const std::string result = rt::generate_one(*found, given, rt::generation_options(options));
    return rt::write_text(result, text, capacity, num_bytes);
  });
}

qn_status qn_generate_stream(qn_session* session, const char* prompt, size_t num_prompt_bytes,
                             const qn_generate_options* options, qn_token_callback callback,
                             void* user_data) {
  return rt::guarded([&] {
    const auto found = rt::open_sessions().find(session, "session");
    QN_REQUIRE(callback != nullptr, quantnoise::ErrorKind::kUsage,
               "callback: found NULL, expected a function");
    const std::string_view given = rt::text_argument(prompt, num_prompt_bytes, "prompt");
    rt::Generation generation = rt::generation_options(options);
    QN_REQUIRE(generation.options.beam_size == 0, quantnoise::ErrorKind::kUsage, "options.beam_size: found ",
               generation.options.beam_size, ", expected 0: beam search knows its text at the end only");
    bool stopped = false;
    const auto codec = rt::text_codec(found->model());
    std::vector<int64_t> all = rt::encode(found->model(), given);
    generation.options.on_token = [&](int64_t token) {
      all.push_back(token);
      const std::string so_far = quantnoise::search::decode_lines(all, codec);
      stopped = callback(user_data, static_cast<int32_t>(token), so_far.c_str(), so_far.size()) != 0;
      return !stopped;
    };
    rt::generate_one(*found, given, generation);
    return stopped ? rt::fail(QN_STOPPED, "the callback asked to stop") : QN_OK;
  });
}

}  // extern "C"
