// Exact nearest centroids with the bounds of "Yinyang K-Means" (Ding et al., ICML 2015): for every block and
// every group of centroids a lower bound of the distance to all of the group, other than the block's own. A
// group is looked at only when its bound, less the way the group has moved since, is not above the distance
// to the block's own centroid.
//
// Bounds are loosened by more than the rounding errors of the scores they are compared through, so that a
// centroid passed over would have lost in the plain comparison too: the codes are those of the plain search
// to the bit.

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

#include "core/codec/block_assigner.h"
#include "core/codec/blocks.h"
#include "core/codec/centroid_groups.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/large_memory.h"
#include "quantnoise/kernels/assign.h"

namespace quantnoise::codec {

namespace {

// Blocks handled together: their elements, bounds and lists stay in the nearest caches.
constexpr int64_t kBatchBlocks = 1024;

struct Batch {
  int64_t begin = 0;
  int64_t count = 0;
  int64_t chunk_end = 0;  // of the blocks this thread works on
  uint16_t* codes = nullptr;
  uint16_t* bounds = nullptr;  // (num_groups, kBatchBlocks)
};

// A bound is kept as the bf16 below bound + drift: half the memory to walk through in every round.
inline uint16_t stored_bound(float bound, float drift) {
  // Less by 8 units in the last place: below the exact sum, whatever the rounding.
  const float sum = (bound + drift) * (1.0f - 0x1p-21f);
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(sum) >> 16);
}

// Findings that may change a code: what a group's nearest centroid is to a block, which the bounds could not
// tell from the block's own. They are collected from all groups of a batch and settled by their scores.
struct Rivals {
  static constexpr int64_t kRoom = 2 * kBatchBlocks;

  int64_t count = 0;
  uint16_t blocks[kRoom];     // by number in the batch
  uint16_t positions[kRoom];  // among the group's picks
  uint16_t groups[kRoom];
  uint16_t codes[kRoom];
  float scores[kRoom];
  uint16_t second_bounds[kRoom];  // of the group without the centroid that was found
};

// Working space of one thread for one batch.
struct Scratch {
  float limits[kBatchBlocks];  // upper bound of the distance to the block's own centroid
  uint16_t picks[kBatchBlocks + 16];
  uint16_t found_codes[kBatchBlocks];
  float found_scores[kBatchBlocks];
  uint16_t found_bounds[2][kBatchBlocks];  // with, and without the nearest centroid of the group
  Rivals rivals;
  uint16_t own_codes[Rivals::kRoom];
  float own_scores[Rivals::kRoom];
  float squared_norms[Rivals::kRoom];
  float own_distances[Rivals::kRoom];
  float scores[kBatchBlocks];  // under the code as it is now, of the blocks with rivals
  int64_t num_changed;
};

class PrunedAssigner : public BlockAssigner {
 public:
  PrunedAssigner(const BlockMatrix& matrix, std::span<const float> centroids,
                 const base::ParallelFor& parallel_for)
      : matrix_(matrix),
        parallel_for_(parallel_for),
        num_centroids_(static_cast<int>(centroids.size()) / matrix.block_size),
        groups_(centroids, matrix.block_size),
        totals_(empty_sums()),
        codes_(static_cast<size_t>(matrix.num_blocks())),
        bounds_(
            base::allocate_large(sizeof(uint16_t) * static_cast<size_t>(groups_.num_groups()) *
                                 static_cast<size_t>(base::round_up(matrix.num_blocks(), kBatchBlocks)))) {}

  ClusterSums assign(std::span<const float> centroids) override {
    groups_.move_to(centroids);
    centroids_ = centroids;
    half_norms_ = half_squared_norms(centroids, matrix_.block_size);
    // A score is wrong by at most e = (block_size + 4) · 2^-24 · (C² + |block|² / 2), C² the largest squared
    // norm of a centroid; 16 e covers both squared distances of a comparison twice over.
    const float unit = 16 * static_cast<float>(matrix_.block_size + 4) * 0x1p-24f;
    margin_constant_ = unit * groups_.largest_squared_norm();
    margin_slope_ = unit / 2;
    // For distances that are not made of scores: |block|² is at most twice the squared distance plus C².
    // Twice the slope covers the rounding of the squared distance as well.
    limit_scale_ = 1 + 4 * margin_slope_;
    limit_constant_ = margin_constant_ + 2 * margin_slope_ * groups_.largest_squared_norm();

    const int64_t grain = blocks_per_partial(matrix_.num_blocks(), num_centroids_, matrix_.block_size);
    std::vector<ClusterSums> partials(static_cast<size_t>(base::ceil_div(matrix_.num_blocks(), grain)));
    parallel_for_(matrix_.num_blocks(), grain, [&](int64_t begin, int64_t end) {
      ClusterSums& partial = partials[static_cast<size_t>(begin / grain)] = empty_sums();
      const auto scratch = std::make_unique_for_overwrite<Scratch>();
      for (int64_t first = begin; first < end; first += kBatchBlocks) {
        const Batch batch{first, std::min(kBatchBlocks, end - first), end, codes_.data() + first,
                          bounds(first)};
        assign_batch(batch, *scratch, partial);
      }
    });
    has_bounds_ = true;
    totals_.num_changed = 0;
    add_partials(partials, totals_);
    return totals_;
  }

  std::span<const uint16_t> codes() const override { return codes_; }

 private:
  ClusterSums empty_sums() const {
    ClusterSums sums;
    sums.sums.resize(static_cast<size_t>(num_centroids_) * static_cast<size_t>(matrix_.block_size));
    sums.counts.resize(static_cast<size_t>(num_centroids_));
    return sums;
  }

  uint16_t* bounds(int64_t block) const {
    return static_cast<uint16_t*>(bounds_.get()) + block * groups_.num_groups();
  }
  const float* block(int64_t number) const { return matrix_.values.data() + number * matrix_.block_size; }

  void assign_batch(const Batch& batch, Scratch& scratch, ClusterSums& sums) {
    const kernels::AssignKernels& table = kernels::assign_kernels();
    if (!has_bounds_) {
      first_visit(batch);
      sums.num_changed += batch.count;
      table.accumulate(block(batch.begin), batch.codes, batch.count, matrix_.block_size, sums.sums.data(),
                       sums.counts.data());
      return;
    }
    scratch.num_changed = 0;
    scratch.rivals.count = 0;
    table.own_limit({block(batch.begin), nullptr, batch.count, matrix_.block_size, centroids_.data(), nullptr,
                     num_centroids_},
                    batch.codes, {limit_scale_, limit_constant_, scratch.limits});
    for (int group = 0; group < groups_.num_groups(); ++group) {
      fetch_ahead(batch, group);
      if (scratch.rivals.count + batch.count > Rivals::kRoom) settle_rivals(batch, scratch, sums);
      revisit_group(batch, group, scratch);
    }
    settle_rivals(batch, scratch, sums);
    sums.num_changed += scratch.num_changed;
  }

  // Sums are differences to those of the round before: few blocks change their cluster. In doubles of fp32
  // values the rounding errors that gather stay far below the precision of a centroid.
  void move_block(const float* values, uint16_t from, uint16_t to, ClusterSums& sums) const {
    double* from_sums = sums.sums.data() + int64_t{from} * matrix_.block_size;
    double* to_sums = sums.sums.data() + int64_t{to} * matrix_.block_size;
    for (int j = 0; j < matrix_.block_size; ++j) {
      from_sums[j] -= values[j];
      to_sums[j] += values[j];
    }
    --sums.counts[from];
    ++sums.counts[to];
  }

  // Asks for this group's share of the next batch's blocks and bounds: the walk through memory is too ragged
  // for the hardware to foresee.
  void fetch_ahead(const Batch& batch, int group) const {
    const int64_t next = batch.begin + kBatchBlocks;
    if (next + kBatchBlocks > batch.chunk_end) return;
    fetch_share(block(next), kBatchBlocks * matrix_.block_size * int64_t{sizeof(float)}, group);
    fetch_share(bounds(next), kBatchBlocks * groups_.num_groups() * int64_t{sizeof(uint16_t)}, group);
  }

  void fetch_share(const void* start, int64_t num_bytes, int group) const {
    constexpr int64_t kCacheLine = 64, kPage = 4096;
    const char* bytes = static_cast<const char*>(start);
    const int64_t share = base::round_up(base::ceil_div(num_bytes, groups_.num_groups()), kCacheLine);
    const int64_t end = std::min(num_bytes, share * (group + 1));
    // Some processors drop prefetches to a page without an entry in the address cache; a read makes one.
    for (int64_t at = share * group; at < end; at += kPage) {
      static_cast<void>(*static_cast<const volatile char*>(bytes + at));
    }
    for (int64_t at = share * group; at < end; at += kCacheLine) __builtin_prefetch(bytes + at, 0, 2);
  }

  kernels::ScoreArgs group_args(const Batch& batch, int group, const uint16_t* picks,
                                int64_t num_picks) const {
    return {block(batch.begin),
            picks,
            num_picks,
            matrix_.block_size,
            groups_.centroids(group),
            groups_.half_norms(group),
            groups_.group_size(group),
            groups_.numbers(group)};
  }

  void first_visit(const Batch& batch) const {
    kernels::ScoreArgs args[CentroidGroups::kMostGroups];
    float drifts[CentroidGroups::kMostGroups];
    for (int group = 0; group < groups_.num_groups(); ++group) {
      args[group] = group_args(batch, group, nullptr, batch.count);
      drifts[group] = groups_.total_drift(group);
    }
    kernels::assign_kernels().nearest_by_group(
        args, groups_.num_groups(),
        {margin_constant_, margin_slope_, drifts, batch.codes, batch.bounds, kBatchBlocks});
  }

  void revisit_group(const Batch& batch, int group, Scratch& scratch) const {
    const kernels::AssignKernels& table = kernels::assign_kernels();
    uint16_t* bounds = batch.bounds + group * kBatchBlocks;
    const float drift = groups_.total_drift(group);
    const int64_t num_picks =
        table.select_not_above(bounds, drift, scratch.limits, batch.count, scratch.picks);
    if (num_picks == 0) return;
    table.nearest_two(group_args(batch, group, scratch.picks, num_picks),
                      {margin_constant_, margin_slope_, drift, scratch.found_codes, scratch.found_scores,
                       scratch.found_bounds[0], scratch.found_bounds[1]});
    // Without branches, for they would be mispredicted.
    Rivals& rivals = scratch.rivals;
    int64_t count = rivals.count;
    for (int64_t found = 0; found < num_picks; ++found) {
      const uint16_t i = scratch.picks[found];
      const unsigned is_own = scratch.found_codes[found] == batch.codes[i];
      const uint16_t bound = scratch.found_bounds[is_own][found];
      bounds[i] = bound;
      rivals.blocks[count] = i;
      rivals.positions[count] = static_cast<uint16_t>(found);
      count += std::bit_cast<float>(uint32_t{bound} << 16) - drift <= scratch.limits[i];
    }
    for (int64_t rival = rivals.count; rival < count; ++rival) {
      const uint16_t found = rivals.positions[rival];
      rivals.groups[rival] = static_cast<uint16_t>(group);
      rivals.codes[rival] = scratch.found_codes[found];
      rivals.scores[rival] = scratch.found_scores[found];
      rivals.second_bounds[rival] = scratch.found_bounds[1][found];
    }
    rivals.count = count;
  }

  void settle_rivals(const Batch& batch, Scratch& scratch, ClusterSums& sums) const {
    Rivals& rivals = scratch.rivals;
    for (int64_t rival = 0; rival < rivals.count; ++rival)
      scratch.own_codes[rival] = batch.codes[rivals.blocks[rival]];
    kernels::assign_kernels().own_distance(
        {block(batch.begin), rivals.blocks, rivals.count, matrix_.block_size, centroids_.data(),
         half_norms_.data(), num_centroids_},
        scratch.own_codes,
        {margin_constant_, margin_slope_, scratch.own_scores, scratch.squared_norms, scratch.own_distances});
    for (int64_t rival = 0; rival < rivals.count; ++rival)
      scratch.scores[rivals.blocks[rival]] = scratch.own_scores[rival];
    for (int64_t rival = 0; rival < rivals.count; ++rival) {
      const uint16_t i = rivals.blocks[rival];
      const uint16_t code = rivals.codes[rival];
      const float score = rivals.scores[rival];
      if (score > scratch.scores[i] || (score == scratch.scores[i] && code >= batch.codes[i])) continue;
      batch.bounds[rivals.groups[rival] * kBatchBlocks + i] = rivals.second_bounds[rival];
      leave_code(batch, i, scratch.scores[i], scratch.squared_norms[rival]);
      // A block never comes back to a code it left, as every change lowers its score.
      scratch.num_changed += batch.codes[i] == scratch.own_codes[rival];
      move_block(block(batch.begin + i), batch.codes[i], code, sums);
      batch.codes[i] = code;
      scratch.scores[i] = score;
    }
    rivals.count = 0;
  }

  // The centroid that the block leaves counts from now on among the others of its group.
  void leave_code(const Batch& batch, int64_t i, float score, float squared_norm) const {
    const float margin = margin_constant_ + margin_slope_ * squared_norm;
    const float distance = std::sqrt(std::max(0.0f, squared_norm - margin + 2 * score));
    const int group = groups_.group_of(batch.codes[i]);
    uint16_t& bound = batch.bounds[group * kBatchBlocks + i];
    // Stored bounds are not negative, so their bits are ordered as they are.
    bound = std::min(bound, stored_bound(distance, groups_.total_drift(group)));
  }

  BlockMatrix matrix_;
  const base::ParallelFor& parallel_for_;
  int num_centroids_;
  CentroidGroups groups_;
  ClusterSums totals_;
  std::vector<uint16_t> codes_;
  // Batch by batch (num_groups, kBatchBlocks), with the group's drift at that time.
  base::LargeMemory bounds_;
  bool has_bounds_ = false;
  std::span<const float> centroids_;
  std::vector<float> half_norms_;
  float margin_constant_ = 0;
  float margin_slope_ = 0;
  float limit_scale_ = 1;
  float limit_constant_ = 0;
};

}  // namespace

std::unique_ptr<BlockAssigner> make_pruned_assigner(const BlockMatrix& matrix,
                                                    std::span<const float> centroids,
                                                    const base::ParallelFor& parallel_for) {
  return std::make_unique<PrunedAssigner>(matrix, centroids, parallel_for);
}

}  // namespace quantnoise::codec
