#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/runtime/product_state.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/codec/half.h"
#include "quantnoise/kernels/short_panel.h"

namespace quantnoise::runtime {

namespace {

constexpr int kLargestBlock = 2 * kernels::kMaxPairs;

// (count, block_size) → (count, stride), filled up with zeros.
void pad_blocks(const float* from, int64_t count, int block_size, int stride, float* to) {
  for (int64_t i = 0; i < count; ++i) {
    std::copy_n(from + i * block_size, block_size, to + i * stride);
    std::fill_n(to + i * stride + block_size, stride - block_size, 0.0f);
  }
}

// Two neighbours of a centroid as bf16 in one element.
void pair_centroids(std::span<const float> centroids, ProductCodebook::State& s) {
  const int num_pairs = s.block_size / 2, stride = kernels::padded_block_size(num_pairs);
  float* to = s.bf16_values.resize(int64_t{s.num_centroids} * stride);
  std::fill_n(to, int64_t{s.num_centroids} * stride, 0.0f);
  for (size_t i = 0; i < centroids.size() / 2; ++i) {
    const uint16_t pair[2] = {codec::float_to_bf16(centroids[2 * i]),
                              codec::float_to_bf16(centroids[2 * i + 1])};
    const auto at = static_cast<int64_t>(i) / num_pairs * stride + static_cast<int64_t>(i) % num_pairs;
    std::memcpy(to + at, pair, sizeof(pair));
  }
  s.bf16_pairs = {to, stride, num_pairs};
}

}  // namespace

const uint16_t* round_to_bf16(const float* x, int64_t n, int64_t cols, const base::ParallelFor& parallel_for,
                              AlignedBuffer<uint16_t>& memory) {
  const int64_t stride = base::round_up(cols, 2);
  uint16_t* halves = memory.resize(n * stride);
  parallel_for(n, base::ceil_div(n, parallel_for.num_threads()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      kernels::bf16_panel_kernels()->round(x + i * cols, cols, halves + i * stride);
      if (stride > cols) halves[i * stride + cols] = 0;
    }
  });
  return halves;
}

const base::ParallelFor& parallel_for_of(const MultiplyOptions& options) {
  static const base::SerialFor serial;
  return options.parallel_for == nullptr ? serial : *options.parallel_for;
}

Workspace::Workspace() : state_(std::make_unique<State>()) {}
Workspace::~Workspace() = default;

int64_t Workspace::owned_bytes() const {
  const State& s = *state_;
  int64_t total = s.scaled.capacity_bytes() + s.halves.capacity_bytes() + s.bytes.capacity_bytes() +
                  s.sums.capacity_bytes();
  for (const ProductTables& tables : s.tables) total += tables.state().owned_bytes();
  for (const AlignedBuffer<float>& panel : s.panels) total += panel.capacity_bytes();
  for (const AffineInputMemory& input : s.affine) total += input.owned_bytes();
  return total;
}

ProductCodebook::ProductCodebook(std::span<const float> centroids, int num_centroids, int block_size)
    : state_(std::make_unique<State>()) {
  QN_REQUIRE(block_size >= 1 && block_size <= kLargestBlock, ErrorKind::kUnsupported,
             "block size of product codes: found ", block_size, ", expected 1 to ", kLargestBlock);
  QN_REQUIRE(num_centroids >= 1 && num_centroids <= 65536, ErrorKind::kFormat, "number of centroids: found ",
             num_centroids, ", expected 1 to 65536");
  QN_INVARIANT(centroids.size() == static_cast<size_t>(num_centroids) * static_cast<size_t>(block_size));
  QN_REQUIRE(std::all_of(centroids.begin(), centroids.end(), [](float v) { return std::isfinite(v); }),
             ErrorKind::kFormat, "centroids: found a value that is not finite");
  State& s = *state_;
  s.num_centroids = num_centroids;
  s.block_size = block_size;
  const int stride = kernels::padded_block_size(block_size);
  pad_blocks(centroids.data(), num_centroids, block_size, stride,
             s.values.resize(int64_t{num_centroids} * stride));
  s.padded = {s.values.data(), stride, block_size};
  if (block_size % 2 == 0) pair_centroids(centroids, s);
  s.has_tables = num_centroids <= kernels::kMaxLookupEntries;
  if (!s.has_tables) return;
  s.lookup.block_size = block_size;
  s.lookup.num_pairs = (block_size + 1) / 2;
  s.lookup.num_entries = num_centroids <= 16 ? 16 : kernels::kMaxLookupEntries;
  const int64_t num_integers = int64_t{s.lookup.num_entries} * s.lookup.num_pairs;
  s.lookup.shared_pairs = s.integers.resize(2 * num_integers);
  s.lookup.own_pairs = s.lookup.shared_pairs + num_integers;
  s.lookup.own_factors = s.factors.resize(s.lookup.num_entries);
  kernels::fill_codebook(centroids.data(), num_centroids, kernels::lookup_kernels().lanes, s.lookup);
}

ProductCodebook::~ProductCodebook() = default;
int ProductCodebook::num_centroids() const { return state_->num_centroids; }
int ProductCodebook::block_size() const { return state_->block_size; }
int64_t ProductCodebook::owned_bytes() const {
  const State& s = *state_;
  return s.values.capacity_bytes() + s.bf16_values.capacity_bytes() + s.integers.capacity_bytes() +
         s.factors.capacity_bytes();
}

ProductTables::ProductTables() : state_(std::make_unique<State>()) {}
ProductTables::~ProductTables() = default;
ProductTables::ProductTables(ProductTables&&) noexcept = default;
ProductTables& ProductTables::operator=(ProductTables&&) noexcept = default;

void ProductTables::build(std::shared_ptr<const ProductCodebook> codebook, std::span<const float> x,
                          const MultiplyOptions& options) {
  state_->plan(std::move(codebook), x, options.arithmetic);
  if (!state_->has_tables) return;
  const base::ParallelFor& parallel_for = parallel_for_of(options);
  const int64_t num_parts = parallel_for.num_threads();
  parallel_for(num_parts, 1, [&](int64_t part, int64_t) { state_->build_part(part, num_parts, {}); });
}

void ProductTables::State::plan_input(const ProductCodebook::State& book, std::span<const float> x,
                                      int64_t blocks) {
  num_blocks = blocks;
  if (book.has_tables) {
    const int64_t num_padded = base::round_up(num_blocks, kernels::kBlocksInGroup);
    input.num_blocks = num_blocks;
    input.block_size = book.block_size;
    input.num_pairs = book.lookup.num_pairs;
    input.pairs = pairs.resize(num_padded * input.num_pairs);
    input.factors = factors.resize(num_padded);
    input.norms = norms.resize(num_padded);
    kernels::lookup_kernels().quantize_input(x.data(), input);
    tables.order = order.resize(num_blocks);
    tables.chunks = chunks.resize(num_blocks);
  }
  const auto is_zero = [&] { return std::all_of(x.begin(), x.end(), [](float v) { return v == 0; }); };
  has_tables = book.has_tables && (kernels::plan_lookup(input, tables) || is_zero());
}

bool ProductTables::State::is_planned(const ProductCodebook::State& book, int64_t blocks,
                                      kernels::EntryWidth width, uint64_t number) const {
  return number != 0 && number == input_number && has_tables && book.has_tables && blocks == num_blocks &&
         book.block_size == input.block_size && width == tables.width;
}

void ProductTables::State::plan(std::shared_ptr<const ProductCodebook> from, std::span<const float> x,
                                Arithmetic arithmetic, uint64_t number) {
  codebook = std::move(from);
  const ProductCodebook::State& book = codebook->state();
  const int64_t blocks = static_cast<int64_t>(x.size()) / book.block_size;
  QN_INVARIANT(blocks * book.block_size == static_cast<int64_t>(x.size()));
  const auto width =
      arithmetic == Arithmetic::kFast ? kernels::EntryWidth::k8Bits : kernels::EntryWidth::k16Bits;
  if (!is_planned(book, blocks, width, number)) {
    tables.width = width;
    plan_input(book, x, blocks);
  }
  input_number = number;
  if (!has_tables) {
    float* padded = padded_x.resize(num_blocks * book.padded.stride);
    pad_blocks(x.data(), num_blocks, book.block_size, book.padded.stride, padded);
    return;
  }
  tables.num_entries = book.lookup.num_entries;
  tables.entries = entries.resize(num_blocks * kernels::table_bytes(tables.num_entries, tables.width));
}

void ProductTables::State::build_part(int64_t part, int64_t num_parts, kernels::BytesAhead ahead) {
  const int64_t begin = tables.num_chunks * part / num_parts;
  const int64_t end = tables.num_chunks * (part + 1) / num_parts;
  int64_t blocks_left = 0;
  for (int64_t c = begin; c < end; ++c) blocks_left += tables.chunks[c].num_blocks;
  for (int64_t c = begin; c < end; ++c) {
    kernels::LookupChunk& chunk = tables.chunks[c];
    const int64_t share = ahead.num_bytes * chunk.num_blocks / blocks_left;
    kernels::lookup_kernels().build_chunk(codebook->state().lookup, input, tables, chunk,
                                          {ahead.begin, share, ahead.run, ahead.skip, ahead.first});
    ahead.first += share;
    ahead.num_bytes -= share;
    blocks_left -= chunk.num_blocks;
  }
}

}  // namespace quantnoise::runtime
