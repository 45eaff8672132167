#pragma once
// The grid of an int-N weight: found from the weight, then again by the count of updates alone.

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "quantnoise/quant/representation.h"

namespace quantnoise::quant {

/// Number of the grid in force at an update. A new one is due at every multiple of `update_step` and, because
/// weights move fast at first, at the powers of two below it (1, 2, 4, …).
int64_t grid_number(int64_t update, int64_t update_step);

class ScalarGrid {
 public:
  /// Finds the grid of update 0. weight: contiguous fp32 on the CPU. Errors: as codec::observe_weight.
  ScalarGrid(const at::Tensor& weight, const ScalarOptions& options);
  /// A file's grid; stays until update `update_step`.
  ScalarGrid(codec::AffineGrid grid, const ScalarOptions& options);

  /// Takes other options. The grid stays unless they ask for other bits or other channels.
  void configure(const at::Tensor& weight, const ScalarOptions& options);
  /// For a use in training: a new grid when one is due.
  void update(const at::Tensor& weight, uint64_t update);

  const codec::AffineGrid& grid() const { return grid_; }
  const ScalarOptions& options() const { return options_; }

  /// Whether such a state holds a grid.
  static bool is_in(const std::map<std::string, at::Tensor>& state);
  /// The grid and the update it was found at.
  void save(std::map<std::string, at::Tensor>& state) const;
  /// A grid of other bits or other channels than the options' is left alone: the options have changed since.
  /// shape: of the weight. Errors: kFormat.
  void load(const std::map<std::string, at::Tensor>& state, const std::vector<int64_t>& shape);

 private:
  void observe(const at::Tensor& weight, int64_t update);
  bool fits_options(const codec::AffineGrid& grid) const;

  ScalarOptions options_;
  codec::AffineGrid grid_;
  int64_t observed_update_ = 0;  // −1: a file's grid
};

}  // namespace quantnoise::quant
