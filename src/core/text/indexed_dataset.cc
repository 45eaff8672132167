#include "quantnoise/text/indexed_dataset.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string_view>

#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/file_kind.h"

namespace quantnoise::text {

namespace {

static_assert(std::endian::native == std::endian::little, "the files are used where they are mapped");

constexpr std::string_view kMmapMagic("MMIDIDX\0\0", 9);
constexpr std::string_view kLegacyMagic("TNTIDX\0\0", 8);
constexpr size_t kMmapHeaderBytes = 9 + 8 + 1 + 8;
constexpr size_t kLegacyHeaderBytes = 8 + 8 + 16 + 16;

std::string index_path(const std::string& prefix) { return prefix + ".idx"; }
std::string data_path(const std::string& prefix) { return prefix + ".bin"; }

template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <typename T>
std::span<const std::byte> as_bytes(const T& value) {
  return std::as_bytes(std::span<const T>(&value, 1));
}

bool starts_with(std::span<const std::byte> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// Calls action(T{}) with the C++ type of the elements.
template <typename Action>
void with_type(TokenType type, const Action& action) {
  switch (type) {
    case TokenType::kUint8:
      return action(uint8_t{});
    case TokenType::kInt8:
      return action(int8_t{});
    case TokenType::kInt16:
      return action(int16_t{});
    case TokenType::kInt32:
      return action(int32_t{});
    case TokenType::kInt64:
      return action(int64_t{});
    case TokenType::kUint16:
      return action(uint16_t{});
    case TokenType::kUint32:
      return action(uint32_t{});
    case TokenType::kUint64:
      return action(uint64_t{});
  }
  QN_INVARIANT(false);
}

TokenType checked_type(uint64_t code, const std::string& path) {
  const bool is_float = code == 6 || code == 7;
  QN_REQUIRE(!is_float && code >= 1 && code <= 10, ErrorKind::kFormat, "cannot read ", path,
             ": found element type ", code, is_float ? " (floating point)" : "",
             ", expected one of the whole-number types 1 to 5 and 8 to 10");
  return static_cast<TokenType>(code);
}

void require_version(uint64_t version, const std::string& path) {
  QN_REQUIRE(version == 1, ErrorKind::kFormat, "cannot read ", path, ": found version ", version,
             ", expected 1");
}

void require_index_bytes(uint64_t found, uint64_t expected, uint64_t num_sentences, const std::string& path) {
  QN_REQUIRE(found == expected, ErrorKind::kFormat, "cannot read ", path, ": found ", found,
             " bytes, expected ", expected, " for ", num_sentences, " sentences");
}

}  // namespace

int64_t token_type_bytes(TokenType type) {
  int64_t bytes = 0;
  with_type(type, [&](auto element) { bytes = sizeof(element); });
  return bytes;
}

TokenType token_type_for(int64_t num_symbols) {
  constexpr int64_t kUint16Limit = 65500;
  return num_symbols < kUint16Limit ? TokenType::kUint16 : TokenType::kInt32;
}

IndexedDatasetWriter::IndexedDatasetWriter(std::string prefix, TokenType type)
    : prefix_(std::move(prefix)), type_(type), data_(data_path(prefix_)) {}

void IndexedDatasetWriter::add(std::span<const int64_t> tokens) {
  QN_REQUIRE(tokens.size() <= static_cast<size_t>(std::numeric_limits<int32_t>::max()), ErrorKind::kData,
             "cannot write ", data_path(prefix_), ": found a sentence of ", tokens.size(),
             " tokens, expected at most 2^31 - 1");
  with_type(type_, [&](auto element) {
    using T = decltype(element);
    scratch_.resize(tokens.size() * sizeof(T));
    std::byte* out = scratch_.data();
    for (const int64_t token : tokens) {
      const T value = static_cast<T>(token);
      QN_REQUIRE(std::cmp_equal(value, token), ErrorKind::kData, "cannot write ", data_path(prefix_),
                 ": found the number ", token, ", which elements of ", sizeof(T), " bytes cannot hold");
      std::memcpy(out, &value, sizeof(T));
      out += sizeof(T);
    }
  });
  data_.write(scratch_);
  sizes_.push_back(static_cast<int32_t>(tokens.size()));
  num_tokens_ += static_cast<int64_t>(tokens.size());
}

void IndexedDatasetWriter::finish() {
  base::AtomicFile index(index_path(prefix_));
  index.write(std::string(kMmapMagic));
  index.write(as_bytes(uint64_t{1}));
  index.write(as_bytes(static_cast<uint8_t>(type_)));
  index.write(as_bytes(static_cast<uint64_t>(sizes_.size())));
  index.write(std::as_bytes(std::span(sizes_)));
  int64_t pointer = 0;
  for (const int32_t size : sizes_) {
    index.write(as_bytes(pointer));
    pointer += size * token_type_bytes(type_);
  }
  std::filesystem::remove(index_path(prefix_));
  data_.commit();
  index.commit();
}

bool IndexedDataset::exists(const std::string& prefix) {
  return base::file_exists(index_path(prefix)) && base::file_exists(data_path(prefix));
}

IndexedDataset IndexedDataset::open(const std::string& prefix) {
  IndexedDataset dataset;
  dataset.prefix_ = prefix;
  dataset.index_ = base::MappedFile::open(index_path(prefix));
  dataset.data_ = base::MappedFile::open(data_path(prefix));
  const auto bytes = dataset.index_.bytes();
  if (starts_with(bytes, kMmapMagic)) {
    dataset.open_mmap_index();
  } else if (starts_with(bytes, kLegacyMagic)) {
    dataset.open_legacy_index();
  } else {
    const base::FileKind kind =
        base::recognize_bytes(bytes.first(std::min(bytes.size(), base::kFileKindBytes)));
    throw Error(ErrorKind::kFormat,
                str_cat("cannot read ", index_path(prefix), ": found ", base::describe(kind),
                        ", expected the index of fairseq's binarized data"),
                base::hint_for(kind));
  }
  return dataset;
}

void IndexedDataset::open_mmap_index() {
  const std::string& path = index_.path();
  const auto bytes = index_.bytes();
  QN_REQUIRE(bytes.size() >= kMmapHeaderBytes, ErrorKind::kFormat, "cannot read ", path, ": found ",
             bytes.size(), " bytes, expected at least ", kMmapHeaderBytes);
  require_version(load<uint64_t>(bytes.data() + 9), path);
  type_ = checked_type(load<uint8_t>(bytes.data() + 17), path);
  const auto n = load<uint64_t>(bytes.data() + 18);
  const uint64_t expected = base::checked_add(base::checked_mul(n, 12, path), kMmapHeaderBytes, path);
  require_index_bytes(bytes.size(), expected, n, path);
  num_sentences_ = static_cast<int64_t>(n);
  sizes_ = bytes.data() + kMmapHeaderBytes;
  check_sizes();
  const std::byte* pointers = sizes_ + n * 4;
  const int64_t element_bytes = token_type_bytes(type_);
  int64_t expected_pointer = 0;
  for (int64_t i = 0; i < num_sentences_; ++i) {
    const auto pointer = load<int64_t>(pointers + i * 8);
    QN_REQUIRE(pointer == expected_pointer, ErrorKind::kFormat, "cannot read ", path, ": sentence ", i,
               " is said to begin at byte ", pointer, ", expected ", expected_pointer);
    expected_pointer += sentence_size(i) * element_bytes;
  }
}

void IndexedDataset::open_legacy_index() {
  const std::string& path = index_.path();
  const auto bytes = index_.bytes();
  QN_REQUIRE(bytes.size() >= kLegacyHeaderBytes, ErrorKind::kFormat, "cannot read ", path, ": found ",
             bytes.size(), " bytes, expected at least ", kLegacyHeaderBytes);
  require_version(load<uint64_t>(bytes.data() + 8), path);
  type_ = checked_type(load<uint64_t>(bytes.data() + 16), path);
  const auto element_bytes = load<uint64_t>(bytes.data() + 24);
  QN_REQUIRE(std::cmp_equal(element_bytes, token_type_bytes(type_)), ErrorKind::kFormat, "cannot read ", path,
             ": found elements of ", element_bytes, " bytes, expected ", token_type_bytes(type_));
  const auto n = load<uint64_t>(bytes.data() + 32);
  const auto num_dims = load<uint64_t>(bytes.data() + 40);
  QN_REQUIRE(n == num_dims, ErrorKind::kFormat, "cannot read ", path, ": found ", num_dims, " sizes for ", n,
             " sentences, expected one each");
  const uint64_t expected = base::checked_add(base::checked_mul(n, 24, path), kLegacyHeaderBytes + 16, path);
  require_index_bytes(bytes.size(), expected, n, path);
  num_sentences_ = static_cast<int64_t>(n);
  id_shift_ = 1;
  size_bytes_ = 8;
  const std::byte* dim_offsets = bytes.data() + kLegacyHeaderBytes;
  const std::byte* data_offsets = dim_offsets + (n + 1) * 8;
  sizes_ = data_offsets + (n + 1) * 8;
  check_sizes();
  int64_t expected_offset = 0;
  for (int64_t i = 0; i <= num_sentences_; ++i) {
    const bool fits =
        load<int64_t>(dim_offsets + i * 8) == i && load<int64_t>(data_offsets + i * 8) == expected_offset;
    QN_REQUIRE(fits, ErrorKind::kFormat, "cannot read ", path, ": the offsets of sentence ", i,
               " do not fit the sizes before it");
    if (i < num_sentences_) expected_offset += sentence_size(i);
  }
}

void IndexedDataset::check_sizes() {
  constexpr int64_t kLargest = std::numeric_limits<int32_t>::max();
  uint64_t total = 0;
  for (int64_t i = 0; i < num_sentences_; ++i) {
    const int64_t size = sentence_size(i);
    QN_REQUIRE(size >= 0 && size <= kLargest, ErrorKind::kFormat, "cannot read ", index_.path(),
               ": sentence ", i, " is said to have ", size, " tokens, expected 0 to 2^31 - 1");
    total = base::checked_add(total, static_cast<uint64_t>(size), index_.path());
  }
  const uint64_t expected =
      base::checked_mul(total, static_cast<uint64_t>(token_type_bytes(type_)), index_.path());
  QN_REQUIRE(data_.bytes().size() == expected, ErrorKind::kFormat, "cannot read ", data_.path(), ": found ",
             data_.bytes().size(), " bytes, expected ", expected, " for the ", total, " tokens of ",
             index_.path());
  num_tokens_ = static_cast<int64_t>(total);
}

int64_t IndexedDataset::sentence_size(int64_t sentence) const {
  QN_INVARIANT(sentence >= 0 && sentence < num_sentences_);
  const std::byte* at = sizes_ + sentence * size_bytes_;
  return size_bytes_ == 4 ? load<int32_t>(at) : load<int64_t>(at);
}

void IndexedDataset::append_sizes(std::vector<int32_t>& sizes) const {
  sizes.reserve(sizes.size() + static_cast<size_t>(num_sentences_));
  for (int64_t i = 0; i < num_sentences_; ++i) sizes.push_back(static_cast<int32_t>(sentence_size(i)));
}

void IndexedDataset::read(int64_t begin, std::span<int64_t> out) const {
  QN_INVARIANT(begin >= 0 && begin + static_cast<int64_t>(out.size()) <= num_tokens_);
  with_type(type_, [&](auto element) {
    using T = decltype(element);
    const std::byte* from = data_.bytes().data() + static_cast<size_t>(begin) * sizeof(T);
    for (int64_t& token : out) {
      token = static_cast<int64_t>(load<T>(from)) - id_shift_;
      from += sizeof(T);
    }
  });
}

std::pair<int64_t, int64_t> IndexedDataset::token_range() const {
  if (num_tokens_ == 0) return {0, -1};
  std::pair<int64_t, int64_t> range;
  with_type(type_, [&](auto element) {
    using T = decltype(element);
    const std::byte* from = data_.bytes().data();
    T smallest = std::numeric_limits<T>::max();
    T largest = std::numeric_limits<T>::min();
    for (int64_t i = 0; i < num_tokens_; ++i) {
      const T token = load<T>(from + static_cast<size_t>(i) * sizeof(T));
      smallest = std::min(smallest, token);
      largest = std::max(largest, token);
    }
    range = {static_cast<int64_t>(smallest) - id_shift_, static_cast<int64_t>(largest) - id_shift_};
  });
  return range;
}

}  // namespace quantnoise::text
