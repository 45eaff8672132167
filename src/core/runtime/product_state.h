#pragma once
// What the classes of product_matrix.h hold.

#include <vector>

#include "core/runtime/affine_input.h"
#include "core/runtime/aligned_buffer.h"
#include "quantnoise/kernels/lookup.h"
#include "quantnoise/kernels/panel.h"
#include "quantnoise/runtime/product_matrix.h"

namespace quantnoise::runtime {

struct ProductCodebook::State {
  int num_centroids = 0;
  int block_size = 0;
  AlignedBuffer<float> values;
  kernels::PaddedCentroids padded;
  AlignedBuffer<float> bf16_values;
  kernels::PaddedCentroids bf16_pairs;  ///< two bf16 in every element; no values for odd block sizes
  bool has_tables = false;              ///< at most 256 centroids
  AlignedBuffer<int32_t> integers;
  AlignedBuffer<float> factors;
  kernels::LookupCodebook lookup;
};

struct ProductTables::State {
  std::shared_ptr<const ProductCodebook> codebook;
  int64_t num_blocks = 0;
  bool has_tables = false;  ///< else padded_x is multiplied centroid by centroid
  AlignedBuffer<float> padded_x;
  AlignedBuffer<int32_t> pairs, order;
  AlignedBuffer<float> factors, norms;
  AlignedBuffer<kernels::LookupChunk> chunks;
  AlignedBuffer<uint8_t> entries;
  kernels::LookupInput input;
  kernels::LookupTables tables;

  uint64_t input_number = 0;  ///< of the input that was rounded and cut into chunks

  int64_t owned_bytes() const {
    return padded_x.capacity_bytes() + pairs.capacity_bytes() + order.capacity_bytes() +
           factors.capacity_bytes() + norms.capacity_bytes() + chunks.capacity_bytes() +
           entries.capacity_bytes();
  }
  /// Rounds the input and cuts the chunks, unless that was done for the input of this number.
  void plan(std::shared_ptr<const ProductCodebook> from, std::span<const float> x, Arithmetic arithmetic,
            uint64_t number = 0);
  void plan_input(const ProductCodebook::State& book, std::span<const float> x, int64_t blocks);
  bool is_planned(const ProductCodebook::State& book, int64_t blocks, kernels::EntryWidth width,
                  uint64_t number) const;
  /// Share number `part` of `num_parts` of the entries.
  void build_part(int64_t part, int64_t num_parts, kernels::BytesAhead ahead);
};

struct Workspace::State {
  std::vector<ProductTables> tables;
  std::vector<AlignedBuffer<float>> panels;  ///< one a part of the rows
  std::vector<AffineInputMemory> affine;
  AlignedBuffer<float> scaled;     ///< x times scales by column
  AlignedBuffer<uint16_t> halves;  ///< x as bf16
  AlignedBuffer<uint8_t> bytes;    ///< x as codes
  AlignedBuffer<int32_t> sums;     ///< of products of bytes
};

/// x (n, cols) as bf16, (n, stride); stride: cols rounded up to an even number, with zeros behind.
const uint16_t* round_to_bf16(const float* x, int64_t n, int64_t cols, const base::ParallelFor& parallel_for,
                              AlignedBuffer<uint16_t>& memory);

/// The parallel loop of the options.
const base::ParallelFor& parallel_for_of(const MultiplyOptions& options);

}  // namespace quantnoise::runtime
