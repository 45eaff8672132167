#pragma once
// The bands of an adaptive vocabulary (Baevski and Auli 2019): frequent words first, in wide
// tables.

#include <cstdint>
#include <string>
#include <vector>

namespace quantnoise::architecture {

/// The words begin ≤ id < end, with tables of width `dim`.
struct Band {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t dim = 0;

  int64_t size() const { return end - begin; }
};

/// Bands that end at `cutoffs` and at the end of the vocabulary; band i has width dim / factor^i, rounded
/// down. Errors: kConfig naming `option` for cutoffs that do not rise up to the vocabulary, or a band without
/// width.
std::vector<Band> make_bands(const std::string& option, const std::vector<int64_t>& cutoffs,
                             int64_t vocab_size, int64_t dim, double factor);

}  // namespace quantnoise::architecture
