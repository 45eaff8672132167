#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>

#include "core/text/line_codec.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/text/dictionary.h"

namespace quantnoise::text {

namespace {

static_assert(std::endian::native == std::endian::little,
              "the dictionary's bytes are used where they are mapped");

constexpr std::string_view kMagic = "QNDICT01";
constexpr size_t kHeaderBytes = 24;

template <typename T>
T load(const std::byte* base, int64_t index) {
  T value;
  std::memcpy(&value, base + static_cast<size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

// Fills a block of known size from front to back.
class Cursor {
 public:
  explicit Cursor(std::vector<std::byte>& bytes) : at_(bytes.data()) {}

  template <typename T>
  void put(T value) {
    std::memcpy(at_, &value, sizeof(T));
    at_ += sizeof(T);
  }
  void put_text(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }

 private:
  std::byte* at_;
};

// Numbers by (word, number): a binary search for a word that was overwritten ends at its latest number.
std::vector<uint32_t> sorted_index(const Dictionary& dictionary) {
  std::vector<uint32_t> sorted(static_cast<size_t>(dictionary.size()));
  std::iota(sorted.begin(), sorted.end(), 0u);
  std::sort(sorted.begin(), sorted.end(), [&](uint32_t a, uint32_t b) {
    const int order = dictionary.symbol(a).compare(dictionary.symbol(b));
    return order != 0 ? order < 0 : a < b;
  });
  return sorted;
}

}  // namespace

std::vector<std::byte> dictionary_to_bytes(const Dictionary& dictionary) {
  const int64_t n = dictionary.size();
  uint64_t string_bytes = 0;
  for (int64_t i = 0; i < n; ++i) string_bytes += dictionary.symbol(i).size();
  QN_REQUIRE(string_bytes <= std::numeric_limits<uint32_t>::max(), ErrorKind::kData, "dictionary: found ",
             string_bytes, " bytes of words, expected at most 4 GiB");
  std::vector<std::byte> bytes(kHeaderBytes + static_cast<size_t>(n) * 16 + 4 + string_bytes);
  Cursor cursor(bytes);
  cursor.put_text(kMagic);
  cursor.put(static_cast<uint64_t>(n));
  cursor.put(string_bytes);
  for (int64_t i = 0; i < n; ++i) cursor.put(dictionary.count(i));
  uint32_t offset = 0;
  cursor.put(offset);
  for (int64_t i = 0; i < n; ++i) cursor.put(offset += static_cast<uint32_t>(dictionary.symbol(i).size()));
  for (const uint32_t index : sorted_index(dictionary)) cursor.put(index);
  for (int64_t i = 0; i < n; ++i) cursor.put_text(dictionary.symbol(i));
  return bytes;
}

DictionaryView DictionaryView::open(std::span<const std::byte> bytes, const std::string& name) {
  QN_REQUIRE(bytes.size() >= kHeaderBytes, ErrorKind::kFormat, "dictionary of ", name, ": found ",
             bytes.size(), " bytes, expected at least ", kHeaderBytes);
  QN_REQUIRE(std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0, ErrorKind::kFormat,
             "dictionary of ", name, ": expected the mark ", kMagic, " at the start, found something else");
  const auto n = load<uint64_t>(bytes.data(), 1);
  const auto string_bytes = load<uint64_t>(bytes.data(), 2);
  const uint64_t table_bytes = base::checked_mul(n, 16, "dictionary size");
  const uint64_t expected = base::checked_add(
      base::checked_add(table_bytes, kHeaderBytes + 4, "dictionary size"), string_bytes, "dictionary size");
  QN_REQUIRE(bytes.size() == expected, ErrorKind::kFormat, "dictionary of ", name, ": found ", bytes.size(),
             " bytes, expected ", expected, " for ", n, " words");
  QN_REQUIRE(n >= kNumSpecial && n < std::numeric_limits<uint32_t>::max(), ErrorKind::kFormat,
             "dictionary of ", name, ": found ", n, " words, expected at least the ", kNumSpecial,
             " special ones");
  DictionaryView view;
  view.size_ = static_cast<int64_t>(n);
  view.counts_ = bytes.data() + kHeaderBytes;
  view.offsets_ = view.counts_ + n * 8;
  view.sorted_ = view.offsets_ + (n + 1) * 4;
  view.strings_ = {reinterpret_cast<const char*>(view.sorted_ + n * 4), static_cast<size_t>(string_bytes)};
  view.check(name);
  return view;
}

void DictionaryView::check(const std::string& name) const {
  uint32_t offset = load<uint32_t>(offsets_, 0);
  bool is_good = offset == 0;
  for (int64_t i = 0; i < size_ && is_good; ++i) {
    const auto next = load<uint32_t>(offsets_, i + 1);
    is_good = next >= offset;
    offset = next;
  }
  QN_REQUIRE(is_good && offset == strings_.size(), ErrorKind::kFormat, "dictionary of ", name,
             ": the words' offsets do not rise from 0 to ", strings_.size());
  // Strictly rising pairs (word, number) within range are a permutation.
  std::string_view before;
  for (int64_t rank = 0; rank < size_; ++rank) {
    const uint32_t index = sorted(rank);
    QN_REQUIRE(index < size_, ErrorKind::kFormat, "dictionary of ", name, ": the sorted index holds ", index,
               ", expected numbers below ", size_);
    const std::string_view word = symbol_unchecked(index);
    const int order = rank == 0 ? -1 : before.compare(word);
    QN_REQUIRE(order < 0 || (order == 0 && sorted(rank - 1) < index), ErrorKind::kFormat, "dictionary of ",
               name, ": the sorted index is out of order at ", rank);
    before = word;
  }
}

uint32_t DictionaryView::sorted(int64_t rank) const { return load<uint32_t>(sorted_, rank); }

std::string_view DictionaryView::symbol_unchecked(int64_t index) const {
  const auto begin = load<uint32_t>(offsets_, index);
  return strings_.substr(begin, load<uint32_t>(offsets_, index + 1) - begin);
}

int64_t DictionaryView::index(std::string_view symbol) const {
  int64_t low = 0;  // ranks below hold words ≤ symbol
  int64_t high = size_;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (symbol_unchecked(sorted(middle)) <= symbol) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0 || symbol_unchecked(sorted(low - 1)) != symbol) return kUnk;
  return sorted(low - 1);
}

std::string_view DictionaryView::symbol(int64_t index) const {
  require_symbol_number(index, size_);
  return symbol_unchecked(index);
}

int64_t DictionaryView::count(int64_t index) const {
  require_symbol_number(index, size_);
  return load<int64_t>(counts_, index);
}

std::vector<int64_t> DictionaryView::encode_line(std::string_view line, const Tokenizer& tokenizer,
                                                 bool append_eos) const {
  return encode_with(*this, line, tokenizer, append_eos);
}

std::string DictionaryView::decode(std::span<const int64_t> ids, const Tokenizer& tokenizer) const {
  return decode_with(*this, ids, tokenizer);
}

}  // namespace quantnoise::text
