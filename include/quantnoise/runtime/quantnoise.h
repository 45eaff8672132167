/* NOLINTBEGIN(readability-identifier-naming): names as C has them */
#ifndef QUANTNOISE_RUNTIME_QUANTNOISE_H
#define QUANTNOISE_RUNTIME_QUANTNOISE_H
/* The C interface of the runtime: language models from quantnoise's files, on the CPU, without any framework.
 *
 *   qn_model* model = NULL;
 *   qn_session* session = NULL;
 *   if (qn_model_open("model.qn", &model) != QN_OK || qn_session_open(model, NULL, &session) != QN_OK) {
 *     fprintf(stderr, "%s\n", qn_last_error());
 *   }
 *   …
 *   qn_session_close(session);
 *   qn_model_close(model);
 *
 * Errors. Functions return QN_OK (0) or what kind of thing went wrong; qn_last_error() says it in words: what
 * failed, what was found, what was expected. Results are written on success alone, unless a function says
 * otherwise. NULL where a pointer is needed, and handles that were closed or never opened, are
 * QN_INVALID_ARGUMENT. No exception leaves a function and none ends the process.
 *
 * Threads. A model never changes: any number of threads may use it at once. A session belongs to one caller
 * at a time. Opening and closing other handles meanwhile is allowed; closing one that a call is using is not.
 * The library starts the threads that a session asks for and no others. Callbacks run in the calling thread.
 *
 * Growth. Structures begin with their own size, which the caller sets (the QN_…_INIT macros do): a library
 * newer than its caller takes the defaults for what the caller does not know; an older one refuses a
 * structure that uses what it does not know. Functions and numbers never change their meaning within a
 * QN_API_VERSION.
 *
 * Text is UTF-8 with its length in bytes and need not end with 0; ill-formed bytes are read as U+FFFD.
 * Buffers: where the result does not fit, QN_BUFFER_TOO_SMALL is returned and the length needed is written;
 * the buffer may be NULL when its capacity is 0. Text written ends with 0, which counts in the capacity and
 * not in the length.
 */

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define QN_API __attribute__((visibility("default")))
#else
#define QN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when something that programs rely on changes. */
#define QN_API_VERSION 1

/* The QN_API_VERSION of the library in use. */
QN_API int qn_api_version(void);
/* Its release, "0.1.0". */
QN_API const char* qn_version(void);
/* One line: processor, instruction sets, the kernels in use. NULL on an error (a QN_CPU that cannot be). */
QN_API const char* qn_cpu_description(void);

typedef enum qn_status {
  QN_OK = 0,
  QN_FAILED = 1,           /* none of the others */
  QN_INVALID_ARGUMENT = 2, /* the call itself is wrong */
  QN_BAD_DATA = 3,         /* text or tokens that this model cannot take */
  QN_BAD_FILE = 4,         /* damaged, or of another format */
  QN_UNSUPPORTED = 5,      /* not on this machine, not in this build */
  QN_IO = 6,               /* the system refused: a missing file, say */
  QN_NUMERIC = 7,          /* a value that is not finite */
  QN_OUT_OF_MEMORY = 8,
  QN_BUFFER_TOO_SMALL = 9, /* ask again with the length that was written */
  QN_STOPPED = 10,         /* a callback asked for it */
  QN_INTERNAL = 70         /* a bug of ours */
} qn_status;

/* About the last call in this thread that did not return QN_OK; "" when there was none. Valid until the next
 * call in this thread that does not. */
QN_API const char* qn_last_error(void);

/* --- Models --------------------------------------------------------------------------------------------- */

typedef struct qn_model qn_model;

/* Maps the file, which must stay as it is while the model is in use. */
QN_API qn_status qn_model_open(const char* path, qn_model** model);
/* The same from memory, which is copied. `name` stands for the path in messages. */
QN_API qn_status qn_model_open_memory(const void* bytes, size_t num_bytes, const char* name,
                                      qn_model** model);
/* Sessions go on until they are closed themselves. NULL and closing twice: as for qn_session_close. */
QN_API void qn_model_close(qn_model* model);

typedef struct qn_model_info {
  size_t size;
  const char* architecture; /* "transformer_lm"; lives as long as the model */
  const char* tokenizer;    /* "space", "words"; lives forever */
  int64_t vocab_size;
  int64_t max_positions; /* tokens a sequence had in training at most; longer ones are an error, except that
                            qn_score_tokens takes them where positions are not learned */
  int64_t num_layers;    /* with a weight */
  int64_t file_bytes;    /* mapped; what is never read takes no memory */
  int64_t weight_bytes;  /* held in memory beside the file */
} qn_model_info;
#define QN_MODEL_INFO_INIT \
  { sizeof(qn_model_info), NULL, NULL, 0, 0, 0, 0, 0 }

/* Fills what fits in info->size bytes. */
QN_API qn_status qn_model_get_info(const qn_model* model, qn_model_info* info);

/* --- Tokens ----------------------------------------------------------------------------------------------
 */

/* Numbers of the special symbols in every dictionary. */
#define QN_TOKEN_BOS 0
#define QN_TOKEN_PAD 1
#define QN_TOKEN_EOS 2
#define QN_TOKEN_UNK 3

/* The tokens of one line of text (line breaks count as blanks), without </s>. */
QN_API qn_status qn_tokenize(const qn_model* model, const char* text, size_t num_bytes, int32_t* tokens,
                             size_t capacity, size_t* num_tokens);
/* Readable text; <s>, <pad> and </s> are left out. */
QN_API qn_status qn_detokenize(const qn_model* model, const int32_t* tokens, size_t num_tokens, char* text,
                               size_t capacity, size_t* num_bytes);
/* The word itself, as the dictionary has it; not ended by 0, lives as long as the model. */
QN_API qn_status qn_token_text(const qn_model* model, int32_t token, const char** text, size_t* num_bytes);

/* --- Sessions --------------------------------------------------------------------------------------------
 */

typedef struct qn_session qn_session;

typedef struct qn_session_options {
  size_t size;
  int32_t num_threads; /* 1 or more; results do not depend on it */
  int32_t fast;        /* 0: precise (relative squared error of a product at most 1e-8); 1: 8-bit tables */
} qn_session_options;
#define QN_SESSION_OPTIONS_INIT \
  { sizeof(qn_session_options), 1, 0 }

/* options: NULL for the defaults. The session keeps the model. */
QN_API qn_status qn_session_open(const qn_model* model, const qn_session_options* options,
                                 qn_session** session);
/* NULL is allowed, and closing twice has no effect unless a new handle got the address in between. */
QN_API void qn_session_close(qn_session* session);

/* log_probs[i] = ln p(tokens[i] | </s>, tokens[0], …, tokens[i - 1]), room for num_tokens. Padding is
 * refused. */
QN_API qn_status qn_score_tokens(qn_session* session, const int32_t* tokens, size_t num_tokens,
                                 float* log_probs);

typedef struct qn_score {
  size_t size;
  int64_t num_tokens;
  double log_prob;   /* sum of ln p */
  double perplexity; /* exp(-log_prob / num_tokens) */
} qn_score;
#define QN_SCORE_INIT \
  { sizeof(qn_score), 0, 0, 0 }

/* A text of any length, line by line with </s> after each, in windows of the training's length: what
 * `qn-run score` prints. (Not with `fast`: there `qn-run score --fast` looks every row up, to show what the
 * tables cost; here many rows are multiplied as in a prompt.) */
QN_API qn_status qn_score_text(qn_session* session, const char* text, size_t num_bytes, qn_score* score);

typedef struct qn_generate_options {
  size_t size;
  int32_t greedy;        /* 1: always the best token */
  int32_t beam_size;     /* above 0: beam search with so many hypotheses */
  double temperature;    /* above 0 */
  int64_t top_k;         /* 0: all */
  double top_p;          /* above 0, at most 1 */
  int64_t max_tokens;    /* new ones; 1 or more */
  int64_t min_tokens;    /* </s> is not chosen before */
  double length_penalty; /* of beam search */
  double unk_penalty;    /* the score of <unk> is lowered by this */
  uint64_t seed;
  int32_t stop_at_eos; /* 1: the text ends with its line; 0: lines follow each other */
  int32_t reserved;    /* 0 */
} qn_generate_options;
#define QN_GENERATE_OPTIONS_INIT \
  { sizeof(qn_generate_options), 0, 0, 1.0, 0, 1.0, 100, 0, 1.0, 0.0, 1, 1, 0 }

/* Continues a line of text (empty: starts one). Writes the prompt as the model read it and the continuation.
 * Same options and seed, same text, whatever the number of threads. options: NULL for the defaults. */
QN_API qn_status qn_generate(qn_session* session, const char* prompt, size_t num_prompt_bytes,
                             const qn_generate_options* options, char* text, size_t capacity,
                             size_t* num_bytes);

/* Called after every new token with the whole text so far (ended by 0, valid during the call): blanks before
 * a token may depend on the next one. A result other than 0 stops; the call then returns QN_STOPPED. It must
 * not use the session. */
typedef int (*qn_token_callback)(void* user_data, int32_t token, const char* text, size_t num_bytes);

/* The same, token by token; no beam search. */
QN_API qn_status qn_generate_stream(qn_session* session, const char* prompt, size_t num_prompt_bytes,
                                    const qn_generate_options* options, qn_token_callback callback,
                                    void* user_data);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif
/* NOLINTEND(readability-identifier-naming) */
