#include "quantnoise/runtime/matrix.h"

#include <vector>

#include "quantnoise/base/error.h"

namespace quantnoise::runtime {

void Matrix::multiply_codes(const CodedRows& x, std::span<const float> bias, std::span<float> y,
                            const MultiplyOptions& options) const {
  QN_INVARIANT(static_cast<int64_t>(x.codes.size()) == x.n * cols());
  std::vector<float> values(x.codes.size());
  for (int64_t i = 0; i < x.n; ++i) {
    for (int64_t j = i * cols(); j < (i + 1) * cols(); ++j) {
      const int32_t multiple = x.codes[static_cast<size_t>(j)] - x.zero_point(i);
      values[static_cast<size_t>(j)] = x.scale(i) * static_cast<float>(multiple);
    }
  }
  multiply(values, x.n, bias, y, options);
}

}  // namespace quantnoise::runtime
