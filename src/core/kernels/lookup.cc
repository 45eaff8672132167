#include "quantnoise/kernels/lookup.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/kernels/lookup_spec.h"
#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

namespace {

constexpr float kLargestSum = 1e30f;  // of squared norms
constexpr float kSmallestNorm = 1e-30f;
constexpr float kNegligible = 1e-24f;  // of the largest squared norm
// Blocks whose squared norm is more than this many times the mean leave the order of the matrix. Entries of
// 16 bits have precision to spare, and few chunks are quicker.
constexpr float outlier_limit(EntryWidth width) { return width == EntryWidth::k8Bits ? 2 : 4; }

// Entries whose integers stand at `position` in the order of a set. Vectors of 4 · lanes products come in
// fours and end up as one vector of bytes, interleaved within 128 bits: `own` products by two rounds of
// packing, `shared` ones by putting the upper halves of two vectors together and one round.
struct Entries {
  int shared, own;
};

Entries entries_at(int position, int num_entries, int lanes) {
  if (lanes == 0 || num_entries == 16) return {position, position};
  const int group = position / (16 * lanes), within = position % (16 * lanes);
  const int vector = within / (4 * lanes), lane = within % (4 * lanes) / 4, element = within % 4;
  const int first = group * 16 * lanes + lane * 16;
  return {first + vector / 2 * 8 + element * 2 + vector % 2, first + vector * 4 + element};
}

int32_t pair_of(int low, int high) {
  return static_cast<int32_t>(static_cast<uint32_t>(low & 0xffff) | static_cast<uint32_t>(high) << 16);
}

// Integers of one centroid at its place: vectors of `in_vector` entries, pair after pair.
void write_pairs(const float* centroid, float factor, int position, int in_vector,
                 const LookupCodebook& codebook, int32_t* out) {
  const auto integer = [&](int j) {
    if (j >= codebook.block_size || factor == 0) return 0;
    return static_cast<int>(std::lrint(double{centroid[j]} / factor));
  };
  int32_t* to = out + int64_t{position / in_vector} * codebook.num_pairs * in_vector + position % in_vector;
  for (int p = 0; p < codebook.num_pairs; ++p)
    to[p * in_vector] = pair_of(integer(2 * p), integer(2 * p + 1));
}

double norm_of(const float* centroid, int block_size) {
  double sum = 0;
  for (int j = 0; j < block_size; ++j) sum += double{centroid[j]} * centroid[j];
  return std::sqrt(sum);
}

struct LargestAndSum {
  float largest, sum;
};

// In sixteen lanes whatever the processor's are: every set has the same sum. A NaN leaves a sum of NaN.
LargestAndSum largest_and_sum(const float* norms, int64_t num_blocks) {
  using Four [[gnu::vector_size(16)]] = float;
  constexpr int kFours = kBlocksInGroup / 4;
  Four most[kFours] = {}, sums[kFours] = {};
  for (int64_t b = 0; b < num_blocks; b += kBlocksInGroup) {
    for (int i = 0; i < kFours; ++i) {
      Four four;
      std::memcpy(&four, norms + b + 4 * i, sizeof four);
      most[i] = four > most[i] ? four : most[i];
      sums[i] += four;
    }
  }
  LargestAndSum of_all = {0, 0};
  for (int i = 0; i < kBlocksInGroup; ++i) {
    const float value = most[i / 4][i % 4];
    of_all.largest = value > of_all.largest ? value : of_all.largest;
    of_all.sum += sums[i / 4][i % 4];
  }
  return of_all;
}

void add_chunk(int64_t first, int64_t num_blocks, LookupTables& tables) {
  tables.chunks[tables.num_chunks++] = {static_cast<int32_t>(first), static_cast<int32_t>(num_blocks), 0, 0,
                                        0};
}

// Chunks of blocks first … end − 1 of the order, about equally long.
void cut_evenly(int64_t first, int64_t end, LookupTables& tables) {
  const int64_t num_chunks = (end - first + kMaxChunkBlocks - 1) / kMaxChunkBlocks;
  for (int64_t c = 0; c < num_chunks; ++c) {
    const int64_t begin = first + (end - first) * c / num_chunks;
    add_chunk(begin, first + (end - first) * (c + 1) / num_chunks - begin, tables);
  }
}

// Falling norms, equal ones in their order. Few numbers are counted to their places, without a branch.
void sort_by_norm(const float* norms, int32_t* numbers, int64_t count) {
  constexpr int64_t kFew = 128;
  if (count > kFew) {
    std::sort(numbers, numbers + count,
              [&](int32_t a, int32_t b) { return norms[a] != norms[b] ? norms[a] > norms[b] : a < b; });
    return;
  }
  float keys[kFew];
  int32_t before[kFew];
  for (int64_t i = 0; i < count; ++i) keys[i] = norms[before[i] = numbers[i]];
  for (int64_t i = 0; i < count; ++i) {
    int32_t place = 0;
    for (int64_t j = 0; j < count; ++j) place += keys[j] > keys[i];
    for (int64_t j = 0; j < i; ++j) place += keys[j] == keys[i];
    numbers[place] = before[i];
  }
}

// A chunk ends before the block whose squared norm is less than half of its first one's.
void cut_outliers(const float* norms, int64_t first, int64_t end, LookupTables& tables) {
  sort_by_norm(norms, tables.order + first, end - first);
  for (int64_t i = first; i < end;) {
    int64_t next = i + 1;
    while (next < end && next < i + kMaxChunkBlocks &&
           norms[tables.order[next]] >= 0.5f * norms[tables.order[i]])
      ++next;
    add_chunk(i, next - i, tables);
    i = next;
  }
}

}  // namespace

int64_t table_bytes(int num_entries, EntryWidth width) {
  return width == EntryWidth::k16Bits ? 2 * num_entries : num_entries;
}

void fill_codebook(const float* centroids, int num_centroids, int lanes, LookupCodebook& codebook) {
  double largest = 0;
  for (int k = 0; k < num_centroids; ++k)
    largest = std::fmax(largest, norm_of(centroids + int64_t{k} * codebook.block_size, codebook.block_size));
  codebook.shared_factor = static_cast<float>(largest / kIntegerNorm);
  const int in_vector = lanes == 0 ? 1 : 4 * lanes;
  const auto centroid = [&](int entry) {
    return centroids + int64_t{entry < num_centroids ? entry : 0} * codebook.block_size;
  };
  for (int position = 0; position < codebook.num_entries; ++position) {
    const Entries at = entries_at(position, codebook.num_entries, lanes);
    const auto own_factor = static_cast<float>(norm_of(centroid(at.own), codebook.block_size) / kIntegerNorm);
    codebook.own_factors[position] = own_factor;
    write_pairs(centroid(at.own), own_factor, position, in_vector, codebook, codebook.own_pairs);
    write_pairs(centroid(at.shared), codebook.shared_factor, position, in_vector, codebook,
                codebook.shared_pairs);
  }
}

bool plan_lookup(const LookupInput& input, LookupTables& tables) {
  const float* norms = input.norms;
  int32_t* order = tables.order;
  tables.num_kept = tables.num_chunks = 0;
  const auto [largest, sum] = largest_and_sum(norms, input.num_blocks);
  if (!(sum <= kLargestSum) || largest < kSmallestNorm) return false;
  const float limit = outlier_limit(tables.width) * sum / static_cast<float>(input.num_blocks);
  const float least = largest * kNegligible;
  const auto select = lookup_kernels().select_blocks;
  const int64_t num_usual = select(norms, input.num_blocks, least, limit, order);
  int64_t num_kept = num_usual;
  if (largest > limit) num_kept += select(norms, input.num_blocks, limit, largest, order + num_usual);
  tables.num_kept = num_kept;
  cut_evenly(0, num_usual, tables);
  cut_outliers(norms, num_usual, num_kept, tables);
  return true;
}

const LookupKernels& lookup_kernels() {
#if defined(__x86_64__)
  static const LookupKernels& chosen =
      same_set(kLookupPortable, kLookupAvx2, kLookupAvx512, kLookupAvx512Vnni);
#elif defined(__aarch64__)
  static const LookupKernels& chosen = same_set(kLookupPortable, kLookupNeon);
#else
  static const LookupKernels& chosen = kLookupPortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
