// The C interface: errors, models, tokens.

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <vector>

#include "core/runtime/c_handles.h"
#include "core/runtime/c_text.h"
#include "quantnoise/kernels/instruction_set.h"
#include "quantnoise/pack/model_file.h"

namespace quantnoise::runtime {

namespace {

/// A message longer than this loses its end: storing it must not fail.
constexpr size_t kMaxMessage = 2048;
thread_local char last_error[kMaxMessage] = "";

qn_status status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kFailed:
      return QN_FAILED;
    case ErrorKind::kUsage:
    case ErrorKind::kConfig:
      return QN_INVALID_ARGUMENT;
    case ErrorKind::kData:
      return QN_BAD_DATA;
    case ErrorKind::kFormat:
      return QN_BAD_FILE;
    case ErrorKind::kUnsupported:
      return QN_UNSUPPORTED;
    case ErrorKind::kIo:
      return QN_IO;
    case ErrorKind::kNumeric:
      return QN_NUMERIC;
    case ErrorKind::kInternal:
      return QN_INTERNAL;
  }
  return QN_INTERNAL;
}

constexpr size_t kFileAlignment = 64;

codec::ByteBlock aligned_copy(const void* bytes, size_t num_bytes) {
  auto* memory =
      static_cast<std::byte*>(::operator new (num_bytes + kFileAlignment, std::align_val_t{kFileAlignment}));
  const std::shared_ptr<const void> owner(memory, [](const void* p) {
    ::operator delete (const_cast<void*>(p), std::align_val_t{kFileAlignment});
  });
  if (num_bytes > 0) std::memcpy(memory, bytes, num_bytes);
  return {{memory, num_bytes}, owner};
}

}  // namespace

// Never destroyed: a host may close handles while the process ends.
OpenModels& open_models() {
  static OpenModels& handles = *new OpenModels;
  return handles;
}
OpenSessions& open_sessions() {
  static OpenSessions& handles = *new OpenSessions;
  return handles;
}

qn_status fail(qn_status status, const char* message) noexcept {
  std::strncpy(last_error, message, kMaxMessage - 1);
  return status;
}

qn_status fail_with_current_exception() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    try {
      const std::string hint = error.hint().empty() ? "" : "; hint: " + error.hint();
      return fail(status_of(error.kind()), (error.what() + hint).c_str());
    } catch (...) {
      return fail(status_of(error.kind()), error.what());
    }
  } catch (const std::bad_alloc&) {
    return fail(QN_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return fail(QN_INTERNAL, error.what());
  } catch (...) {
    return fail(QN_INTERNAL, "an exception of unknown type");
  }
}

std::string_view text_argument(const char* text, size_t num_bytes, const char* name) {
  QN_REQUIRE(text != nullptr || num_bytes == 0, ErrorKind::kUsage, name, ": found NULL, expected ", num_bytes,
             " bytes");
  return text == nullptr ? std::string_view() : std::string_view(text, num_bytes);
}

qn_status write_text(std::string_view from, char* to, size_t capacity, size_t* num_bytes) {
  require_pointer(num_bytes, "num_bytes");
  QN_REQUIRE(to != nullptr || capacity == 0, ErrorKind::kUsage, "text: found NULL for a capacity of ",
             capacity);
  *num_bytes = from.size();
  if (from.size() >= capacity) {
    return fail(QN_BUFFER_TOO_SMALL,
                str_cat("text: found room for ", capacity, " bytes, expected ", from.size() + 1).c_str());
  }
  std::memcpy(to, from.data(), from.size());
  to[from.size()] = '\0';
  return QN_OK;
}

std::vector<int64_t> token_arguments(const int32_t* tokens, size_t count) {
  QN_REQUIRE(tokens != nullptr || count == 0, ErrorKind::kUsage, "tokens: found NULL, expected ", count,
             " numbers");
  return {tokens, tokens + count};
}

}  // namespace quantnoise::runtime

namespace rt = quantnoise::runtime;

extern "C" {

int qn_api_version(void) { return QN_API_VERSION; }
const char* qn_version(void) { return QN_VERSION; }

const char* qn_cpu_description(void) {
  const char* text = nullptr;
  rt::guarded([&] {
    static const std::string description = quantnoise::kernels::cpu_description();
    text = description.c_str();
    return QN_OK;
  });
  return text;
}

const char* qn_last_error(void) { return rt::last_error; }

qn_status qn_model_open(const char* path, qn_model** model) {
  return rt::guarded([&] {
    rt::require_pointer(path, "path");
    rt::require_pointer(model, "model");
    *model = rt::open_models().add(rt::LanguageModel::open(path));
    return QN_OK;
  });
}

qn_status qn_model_open_memory(const void* bytes, size_t num_bytes, const char* name, qn_model** model) {
  return rt::guarded([&] {
    rt::require_pointer(bytes, "bytes");
    rt::require_pointer(name, "name");
    rt::require_pointer(model, "model");
    auto file = quantnoise::pack::parse_model_file(rt::aligned_copy(bytes, num_bytes), name);
    *model = rt::open_models().add(rt::LanguageModel::from_file(std::move(file), name));
    return QN_OK;
  });
}

void qn_model_close(qn_model* model) {
  rt::guarded([&] {
    rt::open_models().remove(model);
    return QN_OK;
  });
}

qn_status qn_model_get_info(const qn_model* model, qn_model_info* info) {
  return rt::guarded([&] {
    const auto found = rt::open_models().find(model, "model");
    const rt::MemoryReport memory = found->memory();
    const qn_model_info full = {sizeof(qn_model_info),
                                found->architecture().c_str(),
                                found->tokenizer().name().data(),
                                found->vocab_size(),
                                found->max_positions(),
                                static_cast<int64_t>(found->layers().size()),
                                memory.file,
                                memory.weights};
    rt::write_struct(full, info, "info");
    return QN_OK;
  });
}

qn_status qn_tokenize(const qn_model* model, const char* text, size_t num_bytes, int32_t* tokens,
                      size_t capacity, size_t* num_tokens) {
  return rt::guarded([&] {
    const auto found = rt::open_models().find(model, "model");
    rt::require_pointer(num_tokens, "num_tokens");
    QN_REQUIRE(tokens != nullptr || capacity == 0, quantnoise::ErrorKind::kUsage,
               "tokens: found NULL for a capacity of ", capacity);
    const std::vector<int64_t> ids = rt::encode(*found, rt::text_argument(text, num_bytes, "text"));
    *num_tokens = ids.size();
    if (ids.size() > capacity) {
      return rt::fail(QN_BUFFER_TOO_SMALL, quantnoise::str_cat("tokens: found room for ", capacity,
                                                               " numbers, expected ", ids.size())
                                               .c_str());
    }
    for (size_t i = 0; i < ids.size(); ++i) tokens[i] = static_cast<int32_t>(ids[i]);
    return QN_OK;
  });
}

qn_status qn_detokenize(const qn_model* model, const int32_t* tokens, size_t num_tokens, char* text,
                        size_t capacity, size_t* num_bytes) {
  return rt::guarded([&] {
    const auto found = rt::open_models().find(model, "model");
    const std::vector<int64_t> ids = rt::token_arguments(tokens, num_tokens);
    return rt::write_text(found->dictionary().decode(ids, found->tokenizer()), text, capacity, num_bytes);
  });
}

qn_status qn_token_text(const qn_model* model, int32_t token, const char** text, size_t* num_bytes) {
  return rt::guarded([&] {
    const auto found = rt::open_models().find(model, "model");
    rt::require_pointer(text, "text");
    rt::require_pointer(num_bytes, "num_bytes");
    const std::string_view symbol = found->dictionary().symbol(token);
    *text = symbol.data();
    *num_bytes = symbol.size();
    return QN_OK;
  });
}

}  // extern "C"
