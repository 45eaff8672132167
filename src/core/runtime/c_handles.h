#pragma once
// Behind the C interface (runtime/quantnoise.h): the open handles, and the wall that no exception passes.

#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <unordered_map>

#include "quantnoise/base/error.h"
#include "quantnoise/runtime/language_model.h"
#include "quantnoise/runtime/quantnoise.h"

/// What a handle points to: nothing; it is a key.
struct qn_model {};
struct qn_session {};

namespace quantnoise::runtime {

/// The open handles of one kind. A closed or foreign pointer is not followed: it is not among them.
template <typename Handle, typename Object>
class OpenHandles {
 public:
  Handle* add(std::shared_ptr<Object> object) {
    auto handle = std::make_unique<Handle>();
    const std::lock_guard lock(mutex_);
    Handle* key = handle.get();
    open_.emplace(key, Entry{std::move(handle), std::move(object)});
    return key;
  }
  std::shared_ptr<Object> find(const Handle* handle, const char* what) const {
    QN_REQUIRE(handle != nullptr, ErrorKind::kUsage, what, ": found NULL, expected an open handle");
    const std::lock_guard lock(mutex_);
    const auto found = open_.find(handle);
    QN_REQUIRE(found != open_.end(), ErrorKind::kUsage, what,
               ": this handle is not open: it was closed, or is none of this library");
    return found->second.object;
  }
  void remove(const Handle* handle) {
    Entry closed;  // ends outside the lock
    const std::lock_guard lock(mutex_);
    const auto found = open_.find(handle);
    if (found == open_.end()) return;
    closed = std::move(found->second);
    open_.erase(found);
  }

 private:
  struct Entry {
    std::unique_ptr<Handle> handle;
    std::shared_ptr<Object> object;
  };
  mutable std::mutex mutex_;
  std::unordered_map<const Handle*, Entry> open_;
};

using OpenModels = OpenHandles<qn_model, const LanguageModel>;
using OpenSessions = OpenHandles<qn_session, Session>;

OpenModels& open_models();
OpenSessions& open_sessions();

/// Remembers the message for qn_last_error().
qn_status fail(qn_status status, const char* message) noexcept;
/// For the exception at hand.
qn_status fail_with_current_exception() noexcept;

/// Runs `body`, which returns a status or throws.
template <typename Body>
qn_status guarded(const Body& body) noexcept {
  try {
    return body();
  } catch (...) {
    return fail_with_current_exception();
  }
}

inline void require_pointer(const void* pointer, const char* name) {
  QN_REQUIRE(pointer != nullptr, ErrorKind::kUsage, name, ": found NULL, expected a pointer");
}

/// Copies a structure that begins with its size. The caller may know less (the rest keeps its defaults) or
/// more than this library: what lies beyond must be zero.
template <typename Struct>
Struct read_struct(const Struct* from, const Struct& defaults, const char* name) {
  Struct result = defaults;
  if (from == nullptr) return result;
  const size_t size = from->size;
  QN_REQUIRE(size >= sizeof(size_t), ErrorKind::kUsage, name, ": found the size ", size,
             ", expected the structure's; hint: begin with its QN_…_INIT");
  const auto* bytes = reinterpret_cast<const unsigned char*>(from);
  for (size_t i = sizeof(Struct); i < size; ++i) {
    QN_REQUIRE(bytes[i] == 0, ErrorKind::kUsage, name,
               ": uses something that this library does not know yet (byte ", i, ")");
  }
  std::memcpy(&result, from, size < sizeof(Struct) ? size : sizeof(Struct));
  result.size = sizeof(Struct);
  return result;
}

/// The other way round: what fits in the caller's size, which stays.
template <typename Struct>
void write_struct(const Struct& from, Struct* to, const char* name) {
  require_pointer(to, name);
  const size_t size = to->size;
  QN_REQUIRE(size >= sizeof(size_t), ErrorKind::kUsage, name, ": found the size ", size,
             ", expected the structure's; hint: begin with its QN_…_INIT");
  std::memcpy(to, &from, size < sizeof(Struct) ? size : sizeof(Struct));
  to->size = size;
}

}  // namespace quantnoise::runtime
