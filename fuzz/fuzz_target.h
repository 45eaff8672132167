#pragma once
// What every fuzz target has: libFuzzer's entry point, and checks that end the process, so that libFuzzer and
// the replay program notice.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "quantnoise/base/error.h"

/// One input; the result is always 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace quantnoise::fuzz {

inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

/// Bad input is an error with a message; a broken invariant of ours is never an answer to bytes.
inline void require_honest(const Error& error) {
  require(!error.message().empty(), "an error without a message");
  if (error.kind() == ErrorKind::kInternal) require(false, error.what());
}

}  // namespace quantnoise::fuzz
