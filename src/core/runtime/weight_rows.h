#pragma once
// Rows of a packed weight as fp32, without decoding the others: embeddings, and products that read a weight
// row by row.

#include <cstdint>

#include "quantnoise/codec/packed_weight.h"

namespace quantnoise::runtime {

class WeightRows {
 public:
  /// Any scheme; the bytes are used where they lie. Errors: kFormat for sizes that contradict each other.
  explicit WeightRows(codec::PackedWeight weight);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t owned_bytes() const {
    return static_cast<int64_t>(weight_.scales.size() * sizeof(float) +
                                weight_.zero_points.size() * sizeof(int32_t));
  }

  /// out: (cols). row: 0 … rows − 1. Errors: kFormat for a code that is no centroid's.
  void read(int64_t row, float* out) const;

 private:
  void read_dense(int64_t row, float* out) const;
  void read_affine(int64_t row, float* out) const;
  void read_product(int64_t row, float* out) const;
  uint32_t code(int64_t index) const;

  codec::PackedWeight weight_;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  int64_t channel_stride_ = 1;  ///< kAffine with an axis: elements from one channel to the next
};

}  // namespace quantnoise::runtime
