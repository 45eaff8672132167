#include "quantnoise/runtime/product_matrix.h"

#include <algorithm>
#include <utility>

#include "core/runtime/product_loops.h"
#include "quantnoise/base/error.h"
#include "quantnoise/kernels/short_panel.h"

namespace quantnoise::runtime {

namespace {

// Rows of x whose tables are at hand while a strip of codes is in the cache.
constexpr int64_t kRowsAtOnce = 4;

std::vector<float> centroids_of(const codec::PackedWeight& weight) {
  codec::PackedWeight without_codes = weight;
  without_codes.shape = {0, weight.block_size};
  without_codes.codes = {};
  return codec::unpack_product(without_codes).centroids;
}

}  // namespace

ProductMatrix::ProductMatrix(codec::PackedWeight weight, std::shared_ptr<const ProductCodebook> codebook)
    : weight_(std::move(weight)),
      codebook_(std::move(codebook)),
      codes_(std::make_unique<ProductCodes>(weight_)) {
  if (codebook_ == nullptr) {
    codebook_ = std::make_shared<const ProductCodebook>(centroids_of(weight_), weight_.num_centroids,
                                                        weight_.block_size);
  }
  QN_INVARIANT(codebook_->num_centroids() == weight_.num_centroids &&
               codebook_->block_size() == weight_.block_size);
}

ProductMatrix::~ProductMatrix() = default;
int64_t ProductMatrix::rows() const { return weight_.rows(); }
int64_t ProductMatrix::cols() const { return weight_.cols(); }
int64_t ProductMatrix::owned_bytes() const { return codes_->owned_bytes(); }

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
                      options.arithmetic);
    }
    parallel_for(num_parts, 1, [&](int64_t part, int64_t) {
      kernels::BytesAhead ahead =
          first_codes(*codes_, StepRange::share(part, num_parts, codes_->num_steps()));
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
