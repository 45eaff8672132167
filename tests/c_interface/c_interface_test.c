/* The C interface from plain C11, mostly with wrong input.
 *   c_interface_test MODEL_FILE
 */
#include <math.h>
#include <quantnoise/runtime/quantnoise.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int num_failed = 0;

#define CHECK(condition)                                                                                \
  do {                                                                                                  \
    if (!(condition)) {                                                                                 \
      fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #condition, qn_last_error()); \
      ++num_failed;                                                                                     \
    }                                                                                                   \
  } while (0)

/* The call fails as said, with this in its message. */
#define CHECK_FAILS(call, status, text)             \
  do {                                              \
    CHECK((call) == (status));                      \
    CHECK(strstr(qn_last_error(), (text)) != NULL); \
  } while (0)

static void test_versions(void) {
  CHECK(qn_api_version() == QN_API_VERSION);
  CHECK(strchr(qn_version(), '.') != NULL);
  CHECK(qn_cpu_description() != NULL && strstr(qn_cpu_description(), "kernels: ") != NULL);
}

static void test_wrong_files(const char* path) {
  qn_model* model = NULL;
  CHECK_FAILS(qn_model_open(NULL, &model), QN_INVALID_ARGUMENT, "path: found NULL");
  CHECK_FAILS(qn_model_open(path, NULL), QN_INVALID_ARGUMENT, "model: found NULL");
  CHECK_FAILS(qn_model_open("/nowhere/model.qn", &model), QN_IO, "/nowhere/model.qn");
  CHECK_FAILS(qn_model_open("/", &model), QN_IO, "not a regular file");
  CHECK_FAILS(qn_model_open(__FILE__, &model), QN_BAD_FILE, "c_interface_test.c");
  CHECK_FAILS(qn_model_open_memory("GGUF", 4, "some.gguf", &model), QN_BAD_FILE, "some.gguf");
  CHECK_FAILS(qn_model_open_memory(NULL, 0, "none", &model), QN_INVALID_ARGUMENT, "bytes");
  CHECK(model == NULL);
}

static void test_memory(const char* path, const qn_model_info* expected) {
  FILE* file = fopen(path, "rb");
  size_t size = (size_t)expected->file_bytes;
  char* bytes = malloc(size);
  qn_model* model = NULL;
  qn_model_info info = QN_MODEL_INFO_INIT;
  CHECK(file != NULL && bytes != NULL && fread(bytes, 1, size, file) == size);
  CHECK(qn_model_open_memory(bytes, size, "copy", &model) == QN_OK);
  memset(bytes, 0, size); /* was copied */
  CHECK(qn_model_get_info(model, &info) == QN_OK && info.vocab_size == expected->vocab_size);
  CHECK_FAILS(qn_model_open_memory(bytes, size, "zeros", &model), QN_BAD_FILE, "zeros");
  qn_model_close(model);
  fclose(file);
  free(bytes);
}

static void test_tokens(const qn_model* model) {
  const char* line = "the evening and the \xff morning";
  int32_t tokens[16];
  size_t count = 0, length = 0;
  char text[64];
  const char* word = NULL;
  CHECK_FAILS(qn_tokenize(model, line, strlen(line), NULL, 0, &count), QN_BUFFER_TOO_SMALL, "expected 6");
  CHECK(count == 6);
  CHECK(qn_tokenize(model, line, strlen(line), tokens, 16, &count) == QN_OK && count == 6);
  CHECK(tokens[0] == tokens[3] && tokens[4] == QN_TOKEN_UNK);
  CHECK(qn_token_text(model, tokens[0], &word, &length) == QN_OK && length == 3 &&
        memcmp(word, "the", 3) == 0);
  CHECK(qn_detokenize(model, tokens, 2, text, sizeof(text), &length) == QN_OK);
  CHECK(length == 11 && strcmp(text, "the evening") == 0);
  CHECK_FAILS(qn_detokenize(model, tokens, 2, text, 11, &length), QN_BUFFER_TOO_SMALL, "expected 12");
  CHECK(length == 11);
  CHECK(qn_tokenize(model, NULL, 0, tokens, 16, &count) == QN_OK && count == 0);
  CHECK_FAILS(qn_tokenize(model, NULL, 3, tokens, 16, &count), QN_INVALID_ARGUMENT, "text: found NULL");
  CHECK_FAILS(qn_tokenize(model, line, 3, NULL, 16, &count), QN_INVALID_ARGUMENT, "tokens: found NULL");
  CHECK_FAILS(qn_tokenize(model, line, 3, tokens, 16, NULL), QN_INVALID_ARGUMENT, "num_tokens: found NULL");
  tokens[0] = -1;
  CHECK_FAILS(qn_detokenize(model, tokens, 1, text, sizeof(text), &length), QN_BAD_DATA, "-1");
  CHECK(qn_token_text(model, 1000000, &word, &length) == QN_BAD_DATA);
}

static void test_structures(const qn_model* model) {
  /* A caller of the future: a structure with a field that this library does not know. */
  struct {
    qn_session_options known;
    int32_t unknown;
    int32_t padding;
  } future = {QN_SESSION_OPTIONS_INIT, 0, 0};
  qn_session_options options = QN_SESSION_OPTIONS_INIT;
  qn_session* session = NULL;
  qn_model_info info;
  future.known.size = sizeof(future);
  CHECK(qn_session_open(model, &future.known, &session) == QN_OK);
  qn_session_close(session);
  future.unknown = 1;
  CHECK_FAILS(qn_session_open(model, &future.known, &session), QN_INVALID_ARGUMENT, "does not know yet");
  /* One of the past: only its own size is read and written. */
  options.size = offsetof(qn_session_options, num_threads);
  options.num_threads = -7;
  CHECK(qn_session_open(model, &options, &session) == QN_OK);
  qn_session_close(session);
  memset(&info, 0x55, sizeof(info));
  info.size = offsetof(qn_model_info, max_positions);
  CHECK(qn_model_get_info(model, &info) == QN_OK && info.vocab_size > 0);
  CHECK(info.max_positions == 0x5555555555555555);
  CHECK(info.size == offsetof(qn_model_info, max_positions));
  options.size = 0;
  CHECK_FAILS(qn_session_open(model, &options, &session), QN_INVALID_ARGUMENT, "size 0");
  options.size = sizeof(options);
  CHECK_FAILS(qn_session_open(model, &options, &session), QN_INVALID_ARGUMENT, "-7");
  CHECK_FAILS(qn_session_open(model, NULL, NULL), QN_INVALID_ARGUMENT, "session: found NULL");
}

static int stop_at_three(void* user_data, int32_t token, const char* text, size_t num_bytes) {
  int* count = user_data;
  CHECK(token >= 0 && strlen(text) == num_bytes);
  return ++*count == 3;
}

static void test_session(const qn_model* model, qn_session* session) {
  qn_generate_options options = QN_GENERATE_OPTIONS_INIT;
  qn_score score = QN_SCORE_INIT;
  int32_t tokens[4] = {5, 6, 7, 8};
  float log_probs[4] = {1, 1, 1, 1};
  char text[1024], again[1024];
  size_t length = 0;
  int count = 0, i;
  CHECK(qn_score_tokens(session, tokens, 4, log_probs) == QN_OK);
  for (i = 0; i < 4; ++i) CHECK(log_probs[i] < 0 && isfinite(log_probs[i]));
  CHECK(qn_score_tokens(session, NULL, 0, NULL) == QN_OK);
  tokens[3] = 100000;
  CHECK_FAILS(qn_score_tokens(session, tokens, 4, log_probs), QN_BAD_DATA, "100000");
  CHECK(qn_score_text(session, "the day\nthe night", 17, &score) == QN_OK);
  CHECK(score.num_tokens == 6 && fabs(score.perplexity - exp(-score.log_prob / 6)) < 1e-6 * score.perplexity);
  CHECK_FAILS(qn_score_text(session, "", 0, &score), QN_BAD_DATA, "empty");

  options.max_tokens = 5;
  options.min_tokens = 5;
  CHECK(qn_generate(session, "the day", 7, &options, text, sizeof(text), &length) == QN_OK);
  CHECK(length == strlen(text) && strncmp(text, "the day", 7) == 0);
  CHECK(qn_generate(session, "the day", 7, &options, again, sizeof(again), &length) == QN_OK);
  CHECK(strcmp(text, again) == 0);
  CHECK_FAILS(qn_generate(session, "the day", 7, &options, NULL, 0, &length), QN_BUFFER_TOO_SMALL,
              "room for 0");
  CHECK(length == strlen(text));
  CHECK_FAILS(qn_generate_stream(session, "the day", 7, &options, stop_at_three, &count), QN_STOPPED, "stop");
  CHECK(count == 3);
  CHECK_FAILS(qn_generate_stream(session, "", 0, &options, NULL, NULL), QN_INVALID_ARGUMENT, "callback");
  options.beam_size = 2;
  CHECK(qn_generate(session, "the day", 7, &options, text, sizeof(text), &length) == QN_OK);
  CHECK_FAILS(qn_generate_stream(session, "", 0, &options, stop_at_three, &count), QN_INVALID_ARGUMENT,
              "beam");
  options.beam_size = 0;
  options.temperature = -1;
  CHECK_FAILS(qn_generate(session, "", 0, &options, text, sizeof(text), &length), QN_INVALID_ARGUMENT,
              "temperature");
  (void)model;
}

static void test_closed_handles(qn_model* model, qn_session* session) {
  qn_generate_options options = QN_GENERATE_OPTIONS_INIT;
  qn_model_info info = QN_MODEL_INFO_INIT;
  qn_session* other = NULL;
  char text[1024];
  size_t length = 0;
  options.max_tokens = 2;
  qn_model_close(NULL);
  qn_session_close(NULL);
  qn_model_close(model);
  qn_model_close(model);
  CHECK_FAILS(qn_model_get_info(model, &info), QN_INVALID_ARGUMENT, "not open");
  CHECK_FAILS(qn_session_open(model, NULL, &other), QN_INVALID_ARGUMENT, "not open");
  CHECK_FAILS(qn_model_get_info((qn_model*)text, &info), QN_INVALID_ARGUMENT, "not open");
  CHECK_FAILS(qn_model_get_info(NULL, &info), QN_INVALID_ARGUMENT, "found NULL");
  /* The session keeps its model. */
  CHECK(qn_generate(session, "the", 3, &options, text, sizeof(text), &length) == QN_OK);
  qn_session_close(session);
  qn_session_close(session);
  CHECK_FAILS(qn_generate(session, "the", 3, &options, text, sizeof(text), &length), QN_INVALID_ARGUMENT,
              "not open");
}

int main(int argc, char** argv) {
  qn_model* model = NULL;
  qn_session* session = NULL;
  qn_model_info info = QN_MODEL_INFO_INIT;
  if (argc != 2) return 2;
  test_versions();
  test_wrong_files(argv[1]);
  CHECK(qn_model_open(argv[1], &model) == QN_OK);
  CHECK(qn_model_get_info(model, &info) == QN_OK);
  CHECK(strcmp(info.architecture, "transformer_lm") == 0 && strcmp(info.tokenizer, "words") == 0);
  test_memory(argv[1], &info);
  test_tokens(model);
  test_structures(model);
  CHECK(qn_session_open(model, NULL, &session) == QN_OK);
  test_session(model, session);
  test_closed_handles(model, session);
  printf("%d checks failed\n", num_failed);
  return num_failed == 0 ? 0 : 1;
}
