#include "quantnoise/runtime/product_matrix.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/runtime/product_loops.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/kernels/short_panel.h"

namespace quantnoise::runtime {

namespace {

// Rows of x whose tables are at hand while a strip of codes is in the cache.
constexpr int64_t kRowsAtOnce = 4;
// Sums of products of bytes stay within 32 bits.
constexpr int64_t kLargestByteCols = 65536;

std::vector<float> centroids_of(const codec::PackedWeight& weight) {
  codec::PackedWeight without_codes = weight;
  without_codes.shape = {0, weight.block_size};
  without_codes.codes = {};
  return codec::unpack_product(without_codes).centroids;
}

}  // namespace

// Four neighbours of a centroid in one element.
struct ProductMatrix::ByteCentroids {
  AlignedBuffer<float> values;
  kernels::PaddedCentroids padded;

  explicit ByteCentroids(const codec::PackedWeight& weight) {
    const int count = weight.block_size / 4, stride = kernels::padded_block_size(count);
    float* to = values.resize(int64_t{weight.num_centroids} * stride);
    std::fill_n(to, int64_t{weight.num_centroids} * stride, 0.0f);
    for (int k = 0; k < weight.num_centroids; ++k) {
      std::memcpy(to + int64_t{k} * stride, weight.centroids.bytes.data() + int64_t{k} * weight.block_size,
                  static_cast<size_t>(weight.block_size));
    }
    padded = {to, stride, count};
  }
};

ProductMatrix::ProductMatrix(codec::PackedWeight weight, std::shared_ptr<const ProductCodebook> codebook)
    : weight_(std::move(weight)),
      codebook_(std::move(codebook)),
      made_codebook_(codebook_ == nullptr),
      codes_(std::make_unique<ProductCodes>(weight_)) {
  if (codebook_ == nullptr) {
    codebook_ = std::make_shared<const ProductCodebook>(centroids_of(weight_), weight_.num_centroids,
                                                        weight_.block_size);
  }
  QN_INVARIANT(codebook_->num_centroids() == weight_.num_centroids &&
               codebook_->block_size() == weight_.block_size);
  if (weight_.centroid_type == codec::ScalarType::kI8 && weight_.block_size % 4 == 0)
    bytes_ = std::make_unique<ByteCentroids>(weight_);
}

ProductMatrix::~ProductMatrix() = default;
int64_t ProductMatrix::rows() const { return weight_.rows(); }
int64_t ProductMatrix::cols() const { return weight_.cols(); }
int64_t ProductMatrix::owned_bytes() const {
  return codes_->owned_bytes() + (made_codebook_ ? codebook_->owned_bytes() : 0) +
         (bytes_ == nullptr ? 0 : bytes_->values.capacity_bytes());
}

Method ProductMatrix::method_for(int64_t n, Arithmetic) const {
  return n <= 4 ? Method::kLookup : Method::kDecode;
}

bool ProductMatrix::takes_bf16(Arithmetic arithmetic) const {
  return arithmetic == Arithmetic::kFast && kernels::bf16_panel_kernels() != nullptr &&
         codebook_->state().bf16_pairs.values != nullptr;
}

std::string ProductMatrix::kernel_name(int64_t n, Arithmetic arithmetic) const {
  if (method_for(n, arithmetic) == Method::kDecode)
    return takes_bf16(arithmetic) ? "panels decoded, bf16" : "panels decoded, fp32";
  if (!codebook_->state().has_tables) return "centroid by centroid, fp32";
  return arithmetic == Arithmetic::kFast ? "tables of 8 bits" : "tables of 16 bits";
}

void ProductMatrix::multiply(std::span<const float> x, int64_t n, std::span<const float> bias,
                             std::span<float> y, const MultiplyOptions& options) const {
  QN_INVARIANT(n >= 0 && static_cast<int64_t>(x.size()) == n * cols());
  QN_INVARIANT(static_cast<int64_t>(y.size()) == n * rows());
  std::unique_ptr<Workspace> own;
  if (options.workspace == nullptr) own = std::make_unique<Workspace>();
  Workspace::State& workspace = (own ? *own : *options.workspace).state();
  const Method method = options.method == Method::kAuto ? method_for(n, options.arithmetic) : options.method;
  if (method == Method::kDecode) {
    multiply_decoded(x, n, y, options, workspace);
  } else {
    multiply_by_tables(x, n, y, options, workspace);
  }
  finish(n, bias, y);
}

void ProductMatrix::multiply(const ProductTables& tables, std::span<const float> bias, std::span<float> y,
                             const MultiplyOptions& options) const {
  const ProductTables::State* state = &tables.state();
  QN_INVARIANT(state->codebook == codebook_ && state->num_blocks == codes_->num_blocks());
  QN_INVARIANT(static_cast<int64_t>(y.size()) == rows());
  const base::ParallelFor& parallel_for = parallel_for_of(options);
  const int64_t num_parts = parallel_for.num_threads();
  parallel_for(num_parts, 1, [&](int64_t part, int64_t) {
    look_up(*codes_, StepRange::share(part, num_parts, codes_->num_steps()), {&state, 1}, y.data());
  });
  finish(1, bias, y);
}

void ProductMatrix::multiply_by_tables(std::span<const float> x, int64_t n, std::span<float> y,
                                       const MultiplyOptions& options, Workspace::State& workspace) const {
  const base::ParallelFor& parallel_for = parallel_for_of(options);
  const int64_t num_parts = parallel_for.num_threads();
  if (workspace.tables.empty()) workspace.tables.resize(kRowsAtOnce);
  ProductTables::State* states[kRowsAtOnce];
  for (int64_t i = 0; i < kRowsAtOnce; ++i) states[i] = &workspace.tables[static_cast<size_t>(i)].state();
  for (int64_t row = 0; row < n; row += kRowsAtOnce) {
    const auto count = static_cast<size_t>(std::min(kRowsAtOnce, n - row));
    for (size_t i = 0; i < count; ++i) {
      const size_t num_cols = static_cast<size_t>(cols());
      states[i]->plan(codebook_, x.subspan((static_cast<size_t>(row) + i) * num_cols, num_cols),
                      options.arithmetic, n <= kRowsAtOnce ? options.input_number : 0);
    }
    parallel_for(num_parts, 1, [&](int64_t part, int64_t) {
      kernels::BytesAhead ahead =
          first_codes(*codes_, StepRange::share(part, num_parts, codes_->num_steps()), options.arithmetic);
      for (size_t i = 0; i < count; ++i) {
        if (states[i]->has_tables) states[i]->build_part(part, num_parts, std::exchange(ahead, {}));
      }
    });
    parallel_for(num_parts, 1, [&](int64_t part, int64_t) {
      look_up(*codes_, StepRange::share(part, num_parts, codes_->num_steps()), {states, count},
              y.data() + row * rows());
    });
  }
}

void ProductMatrix::multiply_decoded(std::span<const float> x, int64_t n, std::span<float> y,
                                     const MultiplyOptions& options, Workspace::State& workspace) const {
  const base::ParallelFor& parallel_for = parallel_for_of(options);
  const int64_t num_parts = parallel_for.num_threads();
  if (static_cast<int64_t>(workspace.panels.size()) < num_parts)
    workspace.panels.resize(static_cast<size_t>(num_parts));
  const ProductCodebook::State& codebook = codebook_->state();
  const uint16_t* halves = takes_bf16(options.arithmetic)
                               ? round_to_bf16(x.data(), n, cols(), parallel_for, workspace.halves)
                               : nullptr;
  parallel_for(num_parts, 1, [&](int64_t part, int64_t) {
    const StepRange range = StepRange::share(part, num_parts, codes_->num_steps());
    AlignedBuffer<float>& memory = workspace.panels[static_cast<size_t>(part)];
    if (halves != nullptr) {
      multiply_panels(*codes_, range, codebook.bf16_pairs, halves, n, y.data(), memory);
    } else {
      multiply_panels(*codes_, range, codebook.padded, x.data(), n, y.data(), memory);
    }
  });
}

bool ProductMatrix::multiplies_codes(int64_t n, const MultiplyOptions& options) const {
  const Method method = options.method == Method::kAuto ? method_for(n, options.arithmetic) : options.method;
  return bytes_ != nullptr && method == Method::kDecode && cols() <= kLargestByteCols;
}

// The zero points of x cost one more row of it, all ones: Σ (x − zx) w = Σ xw − zx Σ w.
void ProductMatrix::multiply_codes(const CodedRows& x, std::span<const float> bias, std::span<float> y,
                                   const MultiplyOptions& options) const {
  if (!multiplies_codes(x.n, options)) return Matrix::multiply_codes(x, bias, y, options);
  const int64_t n = x.n, num_rows = rows(), num_cols = cols();
  QN_INVARIANT(static_cast<int64_t>(x.codes.size()) == n * num_cols);
  QN_INVARIANT(static_cast<int64_t>(y.size()) == n * num_rows);
  std::unique_ptr<Workspace> own;
  if (options.workspace == nullptr) own = std::make_unique<Workspace>();
  Workspace::State& workspace = (own ? *own : *options.workspace).state();
  uint8_t* bytes = workspace.bytes.resize((n + 1) * num_cols);
  std::copy_n(x.codes.data(), n * num_cols, bytes);
  std::fill_n(bytes + n * num_cols, num_cols, uint8_t{1});
  int32_t* sums = workspace.sums.resize((n + 1) * num_rows);
  const base::ParallelFor& parallel_for = parallel_for_of(options);
  const int64_t num_parts = parallel_for.num_threads();
  if (static_cast<int64_t>(workspace.panels.size()) < num_parts)
    workspace.panels.resize(static_cast<size_t>(num_parts));
  parallel_for(num_parts, 1, [&](int64_t part, int64_t) {
    multiply_panels(*codes_, StepRange::share(part, num_parts, codes_->num_steps()), bytes_->padded, bytes,
                    n + 1, sums, workspace.panels[static_cast<size_t>(part)]);
  });
  // The result fits 32 bits, so nothing is lost where a step on the way there does not.
  const int32_t* weight_sums = sums + n * num_rows;
  parallel_for(n, base::ceil_div(n, num_parts), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float scale = x.scale(i) * weight_.centroid_scale;
      const auto zero_point = static_cast<uint32_t>(x.zero_point(i));
      float* to = y.data() + i * num_rows;
      for (int64_t r = 0; r < num_rows; ++r) {
        const uint32_t sum = static_cast<uint32_t>(sums[i * num_rows + r]) -
                             zero_point * static_cast<uint32_t>(weight_sums[r]);
        to[r] = scale * static_cast<float>(static_cast<int32_t>(sum));
      }
    }
  });
  finish(n, bias, y);
}

// The zero row, and the bias.
void ProductMatrix::finish(int64_t n, std::span<const float> bias, std::span<float> y) const {
  QN_INVARIANT(bias.empty() || static_cast<int64_t>(bias.size()) == rows());
  for (int64_t i = 0; i < n; ++i) {
    float* row = y.data() + i * rows();
    if (weight_.zero_row >= 0) row[weight_.zero_row] = 0;
    for (size_t j = 0; j < bias.size(); ++j) row[j] += bias[j];
  }
}

}  // namespace quantnoise::runtime
