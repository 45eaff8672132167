#pragma once
// The codes of a matrix in steps of 64 rows, as the kernels take them.

#include "core/runtime/aligned_buffer.h"
#include "quantnoise/codec/packed_weight.h"
#include "quantnoise/kernels/panel.h"

namespace quantnoise::runtime {

/// Some of the steps of a matrix.
struct StepRange {
  int64_t begin = 0;
  int64_t end = 0;

  static StepRange share(int64_t part, int64_t num_parts, int64_t num_steps) {
    return {num_steps * part / num_parts, num_steps * (part + 1) / num_parts};
  }
};

/// Codes of 4 and 8 bits stay where the file holds them, apart from a last tile that is not full; it, and
/// codes of all other widths, are copied into steps of their own with 4, 8 or 16 bits a code.
class ProductCodes {
 public:
  /// The weight's bytes have to stay where they are.
  explicit ProductCodes(const codec::PackedWeight& weight);

  int bits() const { return bits_; }
  int64_t num_blocks() const { return num_blocks_; }
  int64_t rows() const { return rows_; }
  int64_t num_steps() const { return num_steps_; }
  int64_t step_bytes() const { return num_blocks_ * kernels::kStepRows * bits_ / 8; }
  int64_t owned_bytes() const { return own_.capacity_bytes(); }

  /// First code of a step, and the distance from a block's codes to the next one's.
  const uint8_t* step(int64_t index) const;
  int64_t block_stride(int64_t index) const { return index < num_mapped_ ? mapped_stride_ : own_stride_; }
  kernels::CodeStep code_step(int64_t index, int64_t block) const {
    return {step(index) + block * block_stride(index), block_stride(index), bits_};
  }

 private:
  void copy_steps(const codec::PackedWeight& weight);
  void copy_step(const std::vector<uint16_t>& codes, int64_t row_in_tile, int64_t rows_in_tile, uint8_t* to);

  int bits_ = 8;
  int64_t rows_ = 0;
  int64_t num_blocks_ = 0;
  int64_t num_steps_ = 0;
  int64_t num_mapped_ = 0;  ///< steps that stay in the file
  int64_t steps_in_tile_ = 1;
  int64_t mapped_stride_ = 0;
  int64_t own_stride_ = 0;
  const uint8_t* mapped_ = nullptr;
  AlignedBuffer<uint8_t> own_;
};

}  // namespace quantnoise::runtime
