#pragma once
// Products with a weight of product codes, on the codes as the file holds them.
//
// Few rows: look-up tables. For every block of the input the dot products with all centroids, once; then an
// output is one table entry a code. Many rows: panels of the weight are decoded into the cache and
// multiplied, in fp32 or, under Arithmetic::kFast and where the processor has such products, in bf16.
// Codebooks of more than 256 centroids have no tables; a single row is multiplied centroid by centroid.

#include <memory>
#include <vector>

#include "quantnoise/codec/packed_weight.h"
#include "quantnoise/runtime/matrix.h"

namespace quantnoise::runtime {

class ProductCodes;

/// The centroids of one codebook as the kernels want them. Matrices with the same codebook can share it, and
/// with it the tables of an input vector.
class ProductCodebook {
 public:
  /// centroids: (num_centroids, block_size), 1 … 65,536 of 1 … 16 elements. Errors: kUnsupported for larger
  /// blocks, kFormat for centroids that are not finite.
  ProductCodebook(std::span<const float> centroids, int num_centroids, int block_size);
  ~ProductCodebook();

  int num_centroids() const;
  int block_size() const;
  int64_t owned_bytes() const;

  struct State;
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// The tables of one codebook and one input vector; the memory is used again when they are rebuilt.
class ProductTables {
 public:
  ProductTables();
  ~ProductTables();
  ProductTables(ProductTables&&) noexcept;
  ProductTables& operator=(ProductTables&&) noexcept;

  /// x: (cols), cols a multiple of the block size. options: arithmetic and threads.
  void build(std::shared_ptr<const ProductCodebook> codebook, std::span<const float> x,
             const MultiplyOptions& options);

  struct State;
  State& state() { return *state_; }
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

class ProductMatrix : public Matrix {
 public:
  /// weight: scheme kProduct; its bytes are used where they lie when codes have 4 or 8 bits, else unpacked
  /// once. codebook: one made from the same centroids, or null to make one. Errors: as ProductCodebook;
  /// kFormat for codes that do not fit.
  explicit ProductMatrix(codec::PackedWeight weight,
                         std::shared_ptr<const ProductCodebook> codebook = nullptr);
  ~ProductMatrix() override;

  int64_t rows() const override;
  int64_t cols() const override;
  int64_t owned_bytes() const override;
  std::string kernel_name(int64_t n, Arithmetic arithmetic) const override;
  const std::shared_ptr<const ProductCodebook>& codebook() const { return codebook_; }

  void multiply(std::span<const float> x, int64_t n, std::span<const float> bias, std::span<float> y,
                const MultiplyOptions& options) const override;
  void multiply_codes(const CodedRows& x, std::span<const float> bias, std::span<float> y,
                      const MultiplyOptions& options) const override;
  bool multiplies_codes(int64_t n, const MultiplyOptions& options) const override;
  /// One row whose tables were built with codebook(); y: (rows).
  void multiply(const ProductTables& tables, std::span<const float> bias, std::span<float> y,
                const MultiplyOptions& options) const;

  /// The method that kAuto means for n rows.
  Method method_for(int64_t n, Arithmetic arithmetic) const;

 private:
  void multiply_by_tables(std::span<const float> x, int64_t n, std::span<float> y,
                          const MultiplyOptions& options, Workspace::State& workspace) const;
  void multiply_decoded(std::span<const float> x, int64_t n, std::span<float> y,
                        const MultiplyOptions& options, Workspace::State& workspace) const;
  bool takes_bf16(Arithmetic arithmetic) const;
  void finish(int64_t n, std::span<const float> bias, std::span<float> y) const;

  codec::PackedWeight weight_;
  std::shared_ptr<const ProductCodebook> codebook_;
  bool made_codebook_;  ///< and so counts its memory
  std::unique_ptr<ProductCodes> codes_;
  struct ByteCentroids;
  std::unique_ptr<ByteCentroids> bytes_;  ///< of int8 centroids whose size is a multiple of 4
};

}  // namespace quantnoise::runtime
