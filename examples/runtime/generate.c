/* Continues a line of text with a model file, through the C interface.
 *   generate FILE [PROMPT]
 */
#include <quantnoise/runtime/quantnoise.h>
#include <stdio.h>
#include <string.h>

static int complain(const char* what) {
  fprintf(stderr, "%s: %s\n", what, qn_last_error());
  return 1;
}

/* Prints every text as it grows. */
static int show(void* user_data, int32_t token, const char* text, size_t num_bytes) {
  size_t* shown = (size_t*)user_data;
  (void)token;
  (void)num_bytes;
  printf("%2d: %s\n", (int)++*shown, text);
  return 0; /* go on */
}

static int run(qn_session* session, const char* prompt) {
  qn_generate_options options = QN_GENERATE_OPTIONS_INIT;
  char text[4096];
  size_t num_bytes = 0, num_shown = 0;
  options.max_tokens = 8;
  options.top_k = 5;
  options.seed = 7;
  if (qn_generate(session, prompt, strlen(prompt), &options, text, sizeof(text), &num_bytes) != QN_OK)
    return complain("generate");
  printf("%s\n", text);
  /* The same again, token by token. */
  if (qn_generate_stream(session, prompt, strlen(prompt), &options, show, &num_shown) != QN_OK)
    return complain("generate");
  return 0;
}

int main(int argc, char** argv) {
  qn_model* model = NULL;
  qn_session* session = NULL;
  qn_model_info info = QN_MODEL_INFO_INIT;
  qn_session_options options = QN_SESSION_OPTIONS_INIT;
  int result;
  if (argc < 2) {
    fprintf(stderr, "usage: %s FILE [PROMPT]\n", argv[0]);
    return 2;
  }
  if (qn_model_open(argv[1], &model) != QN_OK) return complain("open");
  if (qn_model_get_info(model, &info) != QN_OK) return complain("info");
  printf("quantnoise %s, %s\n", qn_version(), qn_cpu_description());
  printf("%s of %lld words in %lld bytes\n", info.architecture, (long long)info.vocab_size,
         (long long)info.file_bytes);
  options.num_threads = 2;
  if (qn_session_open(model, &options, &session) != QN_OK) return complain("session");
  qn_model_close(model); /* the session keeps it */
  result = run(session, argc > 2 ? argv[2] : "the evening");
  qn_session_close(session);
  return result;
}
