#include "quantnoise/architecture/adaptive_bands.h"

#include <cmath>

#include "quantnoise/base/error.h"

namespace quantnoise::architecture {

namespace {
constexpr int64_t kPaddingEntry = 1;  // text::kPad, which this component does not see
}

std::vector<Band> make_bands(const std::string& option, const std::vector<int64_t>& cutoffs,
                             int64_t vocab_size, int64_t dim, double factor) {
  QN_REQUIRE(!cutoffs.empty(), ErrorKind::kConfig, option,
             "-cutoff: found no number, expected where the bands end");
  QN_REQUIRE(cutoffs.front() > kPaddingEntry, ErrorKind::kConfig, option, "-cutoff: found ",
             join(cutoffs, ","), ", expected a first band with at least the entries 0 and 1 (padding)");
  QN_REQUIRE(factor >= 1, ErrorKind::kConfig, option, "-factor: found ", factor, ", expected at least 1");
  std::vector<int64_t> ends = cutoffs;
  if (ends.back() < vocab_size) ends.push_back(vocab_size);
  std::vector<Band> bands;
  int64_t begin = 0;
  for (const int64_t end : ends) {
    QN_REQUIRE(end > begin && end <= vocab_size, ErrorKind::kConfig, option, "-cutoff: found ",
               join(cutoffs, ","), ", expected rising numbers up to the ", vocab_size,
               " entries of the dictionary");
    const double divisor = std::pow(factor, static_cast<double>(bands.size()));
    const Band band{begin, end, static_cast<int64_t>(std::floor(static_cast<double>(dim) / divisor))};
    QN_REQUIRE(band.dim > 0, ErrorKind::kConfig, option, "-factor: found ", factor, " for ", ends.size(),
               " bands, which leaves nothing of the width ", dim, " in band ", bands.size());
    bands.push_back(band);
    begin = end;
  }
  return bands;
}

}  // namespace quantnoise::architecture
