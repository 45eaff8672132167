#pragma once
// A weight that multiplies vectors: what the layers of the runtime see, whatever the file holds.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "quantnoise/base/parallel.h"
#include "quantnoise/codec/packed_weight.h"

namespace quantnoise::runtime {

/// How exact a product is, as relative squared error of y against the stored weight in exact arithmetic.
enum class Arithmetic {
  kPrecise,  ///< at most 1e-8: tables of 16 bits, or fp32
  kFast,     ///< at most 2e-4 on inputs as networks have them: tables of 8 bits
};

/// How a product is computed. kAuto takes what measured fastest for the number of rows.
enum class Method { kAuto, kLookup, kDecode };

/// Memory that products use and leave for the next one. One product at a time; a product without one
/// allocates its own.
class Workspace {
 public:
  Workspace();
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  int64_t owned_bytes() const;

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

struct MultiplyOptions {
  Arithmetic arithmetic = Arithmetic::kPrecise;
  Method method = Method::kAuto;
  const base::ParallelFor* parallel_for = nullptr;  ///< null: the calling thread alone
  Workspace* workspace = nullptr;
  /// Products with one workspace and the same number, other than 0, have the same x: what was made of it for
  /// one is used for the next.
  uint64_t input_number = 0;
};

/// Activations as codes of at most 8 bits: value = scale · (code − zero point), with one grid for all rows or
/// one a row.
struct CodedRows {
  std::span<const uint8_t> codes;  ///< (n, cols)
  int64_t n = 0;
  std::span<const float> scales;         ///< 1 or n
  std::span<const int32_t> zero_points;  ///< as many; 0 … 255

  float scale(int64_t row) const { return scales[scales.size() == 1 ? 0 : static_cast<size_t>(row)]; }
  int32_t zero_point(int64_t row) const {
    return zero_points[zero_points.size() == 1 ? 0 : static_cast<size_t>(row)];
  }
};

class Matrix {
 public:
  virtual ~Matrix() = default;
  virtual int64_t rows() const = 0;
  virtual int64_t cols() const = 0;

  /// y = x Wᵀ + bias. x: (n, cols); bias: (rows) or empty; y: (n, rows). The same bits for any number of
  /// threads; whether a row of x is alone or among others may change the method and with it the rounding.
  virtual void multiply(std::span<const float> x, int64_t n, std::span<const float> bias, std::span<float> y,
                        const MultiplyOptions& options) const = 0;

  /// The same for activations that are codes; where multiplies_codes() says so in integers, exactly, else as
  /// multiply() does with their values.
  virtual void multiply_codes(const CodedRows& x, std::span<const float> bias, std::span<float> y,
                              const MultiplyOptions& options) const;

  /// Whether n rows of codes are multiplied in integers: weights that are integers too (affine by tensor or
  /// by row, product codes with int8 centroids of 4, 8, 12 or 16 elements for more than a few rows).
  virtual bool multiplies_codes(int64_t n, const MultiplyOptions& options) const { return false; }

  /// Memory held beside the stored bytes.
  virtual int64_t owned_bytes() const = 0;

  /// How products of n rows are computed, in a few words for people: "tables, 16 bits".
  virtual std::string kernel_name(int64_t n, Arithmetic arithmetic) const = 0;
};

/// The matrix for a weight's scheme; its bytes are used where they lie where the kernels can read them so.
/// Errors: kFormat for sizes or codes that do not fit, kUnsupported for what no kernel computes.
std::unique_ptr<Matrix> make_matrix(codec::PackedWeight weight);

}  // namespace quantnoise::runtime
