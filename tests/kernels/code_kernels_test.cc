// Every set against the portable one: odd sizes, misaligned pointers; to the bit wherever rounding cannot
// differ.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "quantnoise/base/random.h"
#include "quantnoise/kernels/assign.h"
#include "quantnoise/kernels/decode.h"
#include "quantnoise/kernels/instruction_set.h"
#include "quantnoise/kernels/noise.h"

namespace quantnoise::kernels {
namespace {

constexpr int kBlockSizes[] = {1, 2, 3, 4, 5, 8, 9, 12, 16, 18, 33, 70};

std::vector<float> random_values(size_t count, uint64_t seed, bool integers) {
  base::SequentialRandom random(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    value = integers ? static_cast<float>(random.below(17)) - 8 : 4 * random.uniform() - 2;
  }
  return values;
}

std::vector<uint16_t> random_codes(size_t count, int num_centroids, uint64_t seed) {
  base::SequentialRandom random(seed);
  std::vector<uint16_t> codes(count);
  for (uint16_t& code : codes)
    code = static_cast<uint16_t>(random.below(static_cast<uint64_t>(num_centroids)));
  return codes;
}

// A block table at an odd address offset, with its codebook.
struct Problem {
  Problem(int64_t num_blocks, int block_size, int num_centroids, bool integers)
      : storage(random_values(static_cast<size_t>(num_blocks * block_size + 1), 1, integers)),
        centroids(random_values(static_cast<size_t>(num_centroids * block_size), 2, integers)),
        half_norms(static_cast<size_t>(num_centroids)) {
    for (int c = 0; c < num_centroids; ++c) {
      for (int j = 0; j < block_size; ++j) {
        const float value = centroids[static_cast<size_t>(c * block_size + j)];
        half_norms[static_cast<size_t>(c)] += value * value / 2;
      }
    }
    args = {storage.data() + 1, nullptr,           num_blocks,   block_size,
            centroids.data(),   half_norms.data(), num_centroids};
  }

  std::vector<float> storage, centroids, half_norms;
  ScoreArgs args;
};

struct Tables {
  const AssignKernels* assign;
  const DecodeKernels* decode;
  const NoiseKernels* noise;
};

std::vector<Tables> runnable_tables() {
  std::vector<Tables> tables;
  for (const InstructionSet* set : available_instruction_sets()) {
    const std::string_view name = set->name;
    if (name == "portable") tables.push_back({&kAssignPortable, &kDecodePortable, &kNoisePortable});
#if defined(__x86_64__)
    if (name == "avx2") tables.push_back({&kAssignAvx2, &kDecodeAvx2, &kNoiseAvx2});
    if (name == "avx512") tables.push_back({&kAssignAvx512, &kDecodeAvx512, &kNoiseAvx512});
#elif defined(__aarch64__)
    if (name == "neon") tables.push_back({&kAssignNeon, &kDecodeNeon, &kNoiseNeon});
#endif
  }
  return tables;
}

class KernelSets : public ::testing::TestWithParam<Tables> {
 protected:
  const AssignKernels& set() const { return *GetParam().assign; }
  const AssignKernels& portable() const { return kAssignPortable; }
};

TEST_P(KernelSets, AssignEqualsPortableOnIntegers) {
  for (const int block_size : kBlockSizes) {
    for (const int64_t num_blocks : {1, 15, 33, 131}) {
      for (const int num_centroids : {1, 3, 6, 64, 257}) {
        const Problem p(num_blocks, block_size, num_centroids, true);
        const auto size = static_cast<size_t>(num_blocks);
        std::vector<uint16_t> codes(size), expected(size);
        std::vector<float> scores(size), expected_scores(size);
        set().assign(p.args, codes.data(), scores.data());
        portable().assign(p.args, expected.data(), expected_scores.data());
        ASSERT_EQ(codes, expected) << block_size << " " << num_blocks << " " << num_centroids;
        ASSERT_EQ(scores, expected_scores);
      }
    }
  }
}

TEST_P(KernelSets, AssignBreaksTiesToTheLowest) {
  Problem p(40, 8, 60, true);
  for (size_t c = 20; c < 60; ++c) {
    std::copy_n(p.centroids.begin() + static_cast<int64_t>(c % 20) * 8, 8,
                p.centroids.begin() + static_cast<int64_t>(c) * 8);
    p.half_norms[c] = p.half_norms[c % 20];
  }
  std::vector<uint16_t> codes(40);
  set().assign(p.args, codes.data(), nullptr);
  for (const uint16_t code : codes) EXPECT_LT(code, 20);
}

TEST_P(KernelSets, AssignIsNearestWithinRounding) {
  const Problem p(500, 8, 256, false);
  std::vector<uint16_t> codes(500), expected(500);
  std::vector<float> scores(500), expected_scores(500);
  set().assign(p.args, codes.data(), scores.data());
  portable().assign(p.args, expected.data(), expected_scores.data());
  for (size_t i = 0; i < 500; ++i) EXPECT_NEAR(scores[i], expected_scores[i], 1e-5f);
}

struct TwoResults {
  explicit TwoResults(size_t size) : codes(size), scores(size), best(size), second(size) {}
  NearestTwo out() { return {0.5f, 0.25f, 0.75f, codes.data(), scores.data(), best.data(), second.data()}; }
  std::vector<uint16_t> codes;
  std::vector<float> scores;
  std::vector<uint16_t> best, second;
};

TEST_P(KernelSets, NearestTwoEqualsPortableOnIntegers) {
  for (const int block_size : kBlockSizes) {
    for (const int num_centroids : {1, 2, 7, 33}) {
      Problem p(101, block_size, num_centroids, true);
      std::vector<uint16_t> picks, numbers;
      for (int i = 0; i < 101; i += 2) picks.push_back(static_cast<uint16_t>((i * 7) % 101));
      for (int c = 0; c < num_centroids; ++c) numbers.push_back(static_cast<uint16_t>(3 * c + 1));
      p.args.picks = picks.data();
      p.args.numbers = numbers.data();
      p.args.num_blocks = static_cast<int64_t>(picks.size());
      TwoResults found(picks.size()), expected(picks.size());
      set().nearest_two(p.args, found.out());
      portable().nearest_two(p.args, expected.out());
      ASSERT_EQ(found.codes, expected.codes);
      ASSERT_EQ(found.scores, expected.scores);
      ASSERT_EQ(found.best, expected.best);
      ASSERT_EQ(found.second, expected.second);
      EXPECT_EQ(found.codes[0] % 3, 1);
      if (num_centroids == 1) {
        EXPECT_EQ(found.second[0], 0x7f80);  // infinity
      }
    }
  }
}

TEST_P(KernelSets, NearestByGroupEqualsPortableOnIntegers) {
  constexpr int kGroupSizes[] = {5, 1, 12, 8};
  for (const int block_size : kBlockSizes) {
    for (const int64_t num_blocks : {1, 32, 77}) {
      const Problem p(num_blocks, block_size, 26, true);
      std::vector<uint16_t> numbers;
      for (int c = 0; c < 26; ++c) numbers.push_back(static_cast<uint16_t>(100 - 3 * c));
      std::vector<ScoreArgs> groups;
      int first = 0;
      for (const int size : kGroupSizes) {
        std::sort(numbers.begin() + first, numbers.begin() + first + size);
        groups.push_back({p.args.blocks, nullptr, num_blocks, block_size,
                          p.args.centroids + first * block_size, p.args.half_norms + first, size,
                          numbers.data() + first});
        first += size;
      }
      const std::vector<float> offsets = {0.0f, 1.5f, 0.25f, 3.0f};
      const auto run = [&](const AssignKernels& table) {
        std::vector<uint16_t> out(static_cast<size_t>(num_blocks + 4 * 80));
        table.nearest_by_group(groups.data(), 4,
                               {0.5f, 0.25f, offsets.data(), out.data(), out.data() + num_blocks, 80});
        return out;
      };
      ASSERT_EQ(run(set()), run(portable())) << block_size << " " << num_blocks;
    }
  }
}

TEST_P(KernelSets, OwnDistanceHasTheScoresOfAssign) {
  for (const int block_size : kBlockSizes) {
    for (const bool integers : {false, true}) {
      const Problem p(77, block_size, 19, integers);
      std::vector<uint16_t> codes(77);
      std::vector<float> scores(77), own(77), norms(77), bounds(77);
      set().assign(p.args, codes.data(), scores.data());
      set().own_distance(p.args, codes.data(), {0.5f, 0.25f, own.data(), norms.data(), bounds.data()});
      EXPECT_EQ(own, scores) << block_size;
      for (size_t i = 0; i < 77; ++i) {
        const float squared = norms[i] + 2 * own[i] + 0.5f + 0.25f * norms[i];
        EXPECT_NEAR(bounds[i], std::sqrt(std::max(0.0f, squared)), 1e-3f);
      }
    }
  }
}

TEST_P(KernelSets, OwnLimitEqualsPortableOnIntegers) {
  for (const int block_size : kBlockSizes) {
    for (const int num_blocks : {1, 16, 77}) {
      Problem p(num_blocks, block_size, 19, true);
      const auto size = static_cast<size_t>(num_blocks);
      std::vector<uint16_t> codes(size), picks(size);
      for (size_t i = 0; i < size; ++i) {
        codes[i] = static_cast<uint16_t>((i * 5) % 19);
        picks[i] = static_cast<uint16_t>((i * 3) % size);
      }
      for (const bool picked : {false, true}) {
        p.args.picks = picked ? picks.data() : nullptr;
        std::vector<float> found(size), expected(size);
        set().own_limit(p.args, codes.data(), {1.5f, 0.25f, found.data()});
        portable().own_limit(p.args, codes.data(), {1.5f, 0.25f, expected.data()});
        ASSERT_EQ(found, expected) << block_size << " " << num_blocks;
      }
    }
  }
}

TEST_P(KernelSets, OwnLimitIsTheDistance) {
  const Problem p(100, 8, 19, false);
  std::vector<uint16_t> codes(100);
  std::vector<float> limits(100);
  set().assign(p.args, codes.data(), nullptr);
  set().own_limit(p.args, codes.data(), {1.0f, 0.0f, limits.data()});
  for (size_t i = 0; i < 100; ++i) {
    double squared = 0;
    for (size_t j = 0; j < 8; ++j)
      squared += std::pow(double{p.args.blocks[i * 8 + j]} - p.centroids[codes[i] * 8u + j], 2);
    EXPECT_NEAR(limits[i], std::sqrt(squared), 1e-5);
  }
}

TEST_P(KernelSets, SelectEqualsPortable) {
  for (const size_t count : {0, 1, 7, 16, 100, 1024}) {
    const std::vector<float> limits = random_values(count, 4, true);
    std::vector<uint16_t> bounds(count);
    const std::vector<float> values = random_values(count, 3, true);
    for (size_t i = 0; i < count; ++i)
      bounds[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(values[i]) >> 16);
    if (count > 5) bounds[5] = 0xff80;  // minus infinity
    std::vector<uint16_t> picks(count + 16), expected(count + 16);
    const auto size = static_cast<int64_t>(count);
    const int64_t found = set().select_not_above(bounds.data(), 1.0f, limits.data(), size, picks.data());
    ASSERT_EQ(found, portable().select_not_above(bounds.data(), 1.0f, limits.data(), size, expected.data()));
    picks.resize(static_cast<size_t>(found));
    expected.resize(static_cast<size_t>(found));
    EXPECT_EQ(picks, expected);
  }
}

TEST_P(KernelSets, AccumulateEqualsPortable) {
  for (const int block_size : kBlockSizes) {
    const std::vector<float> values = random_values(static_cast<size_t>(203 * block_size + 1), 5, false);
    const std::vector<uint16_t> codes = random_codes(203, 7, 6);
    std::vector<double> sums(static_cast<size_t>(7 * block_size)), expected(sums.size());
    std::vector<int64_t> counts(7), expected_counts(7);
    set().accumulate(values.data() + 1, codes.data(), 203, block_size, sums.data(), counts.data());
    portable().accumulate(values.data() + 1, codes.data(), 203, block_size, expected.data(),
                          expected_counts.data());
    EXPECT_EQ(sums, expected);
    EXPECT_EQ(counts, expected_counts);
    set().accumulate(values.data() + 1, codes.data(), 203, block_size, sums.data(), nullptr);
    EXPECT_EQ(counts, expected_counts);
  }
}

TEST_P(KernelSets, DecodeEqualsPortable) {
  for (const int block_size : kBlockSizes) {
    const std::vector<float> centroids = random_values(static_cast<size_t>(300 * block_size), 7, false);
    const std::vector<uint16_t> table = random_codes(centroids.size(), 65535, 8);
    const std::vector<uint16_t> codes = random_codes(101, 300, 9);
    const auto size = static_cast<size_t>(101 * block_size);
    std::vector<float> out(size + 1), expected(size + 1);
    GetParam().decode->decode_f32(codes.data(), 101, centroids.data(), block_size, out.data() + 1);
    kDecodePortable.decode_f32(codes.data(), 101, centroids.data(), block_size, expected.data() + 1);
    EXPECT_EQ(out, expected);
    std::vector<uint16_t> out16(size + 1), expected16(size + 1);
    GetParam().decode->decode_u16(codes.data(), 101, table.data(), block_size, out16.data() + 1);
    kDecodePortable.decode_u16(codes.data(), 101, table.data(), block_size, expected16.data() + 1);
    EXPECT_EQ(out16, expected16);
  }
}

NoiseArgs noise_args(NoiseKind kind, int block_size, double probability, const std::vector<float>& centroids,
                     const std::vector<uint16_t>& codes) {
  NoiseArgs args;
  args.kind = kind;
  args.block_size = block_size;
  args.survivor_scale = 1.3f;
  args.key[0] = 0x12345678;
  args.key[1] = 0x9abcdef0;
  args.update = 77;
  args.micro_batch = 3;
  args.threshold = base::bernoulli_threshold(probability);
  args.centroids = centroids.data();
  args.codes = codes.data();
  return args;
}

TEST_P(KernelSets, NoiseEqualsPortable) {
  constexpr int64_t kBlocks = 389;
  for (const int block_size : kBlockSizes) {
    std::vector<float> weight = random_values(static_cast<size_t>(kBlocks * block_size + 1), 10, false);
    weight[3] = std::numeric_limits<float>::quiet_NaN();
    weight[5] = std::numeric_limits<float>::infinity();
    const std::vector<float> centroids = random_values(static_cast<size_t>(20 * block_size), 11, false);
    const std::vector<uint16_t> codes = random_codes(kBlocks, 20, 12);
    for (const NoiseKind kind : {NoiseKind::kNone, NoiseKind::kDrop, NoiseKind::kMean, NoiseKind::kExact}) {
      for (const double probability : {0.0, 0.3, 1.0}) {
        const NoiseArgs args = noise_args(kind, block_size, probability, centroids, codes);
        for (const int64_t first : {0, 5, 64, 130}) {
          const int64_t count = kBlocks - first;
          const auto size = static_cast<size_t>(count * block_size);
          std::vector<float> out(size), expected(size);
          GetParam().noise->noise_f32(args, weight.data() + 1, static_cast<uint64_t>(first), count,
                                      out.data());
          kNoisePortable.noise_f32(args, weight.data() + 1, static_cast<uint64_t>(first), count,
                                   expected.data());
          ASSERT_EQ(std::memcmp(out.data(), expected.data(), size * 4), 0) << block_size << " " << first;
          std::vector<uint16_t> out16(size + 1), expected16(size + 1);
          GetParam().noise->noise_bf16(args, weight.data() + 1, static_cast<uint64_t>(first), count,
                                       out16.data() + 1);
          kNoisePortable.noise_bf16(args, weight.data() + 1, static_cast<uint64_t>(first), count,
                                    expected16.data() + 1);
          ASSERT_EQ(out16, expected16) << block_size << " " << first;
        }
      }
    }
  }
}

TEST_P(KernelSets, NoiseDrawsAreThoseOfTheStreamBeyond32Bits) {
  const std::vector<float> weight(300, 1.0f);
  const std::vector<float> none;
  const std::vector<uint16_t> no_codes;
  NoiseArgs args = noise_args(NoiseKind::kDrop, 1, 0.5, none, no_codes);
  base::RandomStream stream;
  stream.key = {args.key[0], args.key[1]};
  stream.update = args.update;
  stream.micro_batch = args.micro_batch;
  for (const uint64_t first : {uint64_t{0}, (uint64_t{1} << 34) - 100, (uint64_t{5} << 36) + 3}) {
    std::vector<float> out(300);
    GetParam().noise->noise_f32(args, weight.data(), first, 300, out.data());
    for (uint64_t i = 0; i < 300; ++i) {
      const float expected = stream.bits(first + i) < args.threshold ? 0.0f : 1.3f;
      ASSERT_EQ(out[i], expected) << first << " + " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, KernelSets, ::testing::ValuesIn(runnable_tables()),
                         [](const auto& info) { return std::string(info.param.assign->name); });

}  // namespace
}  // namespace quantnoise::kernels
