#pragma once
// The one error type of the project, and the checks that throw it.
//
// A message says what failed, what was found and what was expected; a hint says what to do. Context is
// added on the way up:
//
//   try { load(path); } catch (Error& error) { throw error.in("layer decoder.layers.3.fc1"); }

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace quantnoise {

enum class ErrorKind {
  kFailed,       ///< the job could not be done (exit code 1)
  kUsage,        ///< wrong command line (2)
  kConfig,       ///< wrong configuration: option values, recipe files, regexes that match nothing (2)
  kData,         ///< input data that cannot be used: empty split, dictionary that does not fit (3)
  kFormat,       ///< damaged or foreign file (3)
  kUnsupported,  ///< not supported here: this machine or this build (4)
  kIo,           ///< the operating system refused: missing file, disk full (1)
  kNumeric,      ///< a value that is not finite (1)
  kInternal,     ///< a bug of ours (70)
};

/// Process exit code for an error of this kind: 1, 2, 3, 4 or 70.
int exit_code(ErrorKind kind);

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string message, std::string hint = "");

  ErrorKind kind() const { return kind_; }
  /// The message with its context, without the hint: `in layer fc1: …`.
  const char* what() const noexcept override { return text_.c_str(); }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }

  /// Adds the place the error passed through; the outermost place is printed first.
  Error& in(std::string_view place);

 private:
  ErrorKind kind_;
  std::string message_;
  std::string hint_;
  std::string text_;
};

namespace detail {

/// One argument of str_cat: what it takes to print it, so that one function puts all messages together and a
/// call is little more than storing its arguments. Refers to the argument.
class TextPiece {
 public:
  TextPiece(const char* text) : TextPiece(std::string_view(text)) {}
  TextPiece(std::string_view text) : kind_(Kind::kText), text_(text) {}
  TextPiece(const std::string& text) : TextPiece(std::string_view(text)) {}
  template <typename T>
  TextPiece(const T& value) {
    if constexpr (std::is_arithmetic_v<T> && sizeof(T) == 1 && !std::is_same_v<T, bool>) {
      kind_ = Kind::kCharacter;
      character_ = static_cast<char>(value);
    } else if constexpr (std::is_floating_point_v<T>) {
      kind_ = Kind::kReal;
      real_ = static_cast<double>(value);
    } else if constexpr (std::unsigned_integral<T>) {
      kind_ = Kind::kUnsigned;
      unsigned_ = value;
    } else if constexpr (std::is_integral_v<T>) {
      kind_ = Kind::kInteger;
      integer_ = value;
    } else {
      kind_ = Kind::kOther;
      other_ = {&value, [](std::ostream& out, const void* of) { out << *static_cast<const T*>(of); }};
    }
  }
  void append_to(std::string& text) const;

 private:
  enum class Kind { kText, kCharacter, kInteger, kUnsigned, kReal, kOther };
  struct Printed {
    const void* value;
    void (*print)(std::ostream& out, const void* value);
  };
  Kind kind_;
  union {
    std::string_view text_;  // NOLINT(readability-identifier-naming): private
    char character_;         // NOLINT(readability-identifier-naming): private
    int64_t integer_;        // NOLINT(readability-identifier-naming): private
    uint64_t unsigned_;      // NOLINT(readability-identifier-naming): private
    double real_;            // NOLINT(readability-identifier-naming): private
    Printed other_;          // NOLINT(readability-identifier-naming): private
  };
};

std::string concatenate(std::initializer_list<TextPiece> pieces);

[[noreturn]] void fail(ErrorKind kind, std::initializer_list<TextPiece> message);
[[noreturn]] void invariant_failed(const char* condition, const char* file, int line);

}  // namespace detail

/// Concatenates the arguments as `operator<<` prints them.
template <typename... Args>
std::string str_cat(const Args&... args) {
  return detail::concatenate({detail::TextPiece(args)...});
}

/// Joins the items with `separator` between them.
template <typename Container>
std::string join(const Container& items, std::string_view separator) {
  std::string text;
  bool first = true;
  for (const auto& item : items) {
    if (!first) text += separator;
    detail::TextPiece(item).append_to(text);
    first = false;
  }
  return text;
}

/// Number of single-character edits (insert, delete, substitute) between two strings.
int edit_distance(std::string_view a, std::string_view b);

/// The candidates nearest to `name`, best first, at most `limit`; those too far away are left out.
std::vector<std::string> nearest_names(std::string_view name, const std::vector<std::string>& candidates,
                                       int limit = 3);

}  // namespace quantnoise

/// Throws quantnoise::Error of the kind, with the rest of the arguments concatenated, unless the condition
/// holds.
#define QN_REQUIRE(condition, kind, ...)               \
  do {                                                 \
    if (!(condition)) [[unlikely]]                     \
      ::quantnoise::detail::fail(kind, {__VA_ARGS__}); \
  } while (false)

/// A condition only a bug of ours can break; throws ErrorKind::kInternal with the place.
#define QN_INVARIANT(condition)                                               \
  do {                                                                        \
    if (!(condition)) [[unlikely]]                                            \
      ::quantnoise::detail::invariant_failed(#condition, __FILE__, __LINE__); \
  } while (false)
