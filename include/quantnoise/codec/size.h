#pragma once
// Size arithmetic: the true bytes of a representation, and the figures of fairseq's SizeTracker for
// comparison with the paper (all in MiB = 2^20 bytes; fractional index bits counted as if packed; fp16
// centroids; the rest fp32).

#include <cstdint>
#include <string>

namespace quantnoise::codec {

class SizeTracker {
 public:
  /// num_parameters: elements of all parameters, ties counted once.
  explicit SizeTracker(int64_t num_parameters) : num_parameters_(num_parameters) {}

  /// One weight of `numel` elements went to product codes: index log2(K)/block_size·numel/8 bytes, centroids
  /// K·block_size·2 bytes, 4·numel bytes leave the not-quantized part.
  void add_product(int64_t numel, int block_size, int num_centroids);

  double uncompressed_mib() const;
  double index_mib() const { return index_mib_; }
  double centroid_mib() const { return centroid_mib_; }
  double not_quantized_mib() const;
  double compressed_mib() const { return index_mib_ + centroid_mib_ + not_quantized_mib(); }
  double ratio() const { return uncompressed_mib() / compressed_mib(); }
  /// One line: sizes in MiB with two digits and the ratio.
  std::string summary() const;

 private:
  int64_t num_parameters_;
  int64_t quantized_parameters_ = 0;
  double index_mib_ = 0;
  double centroid_mib_ = 0;
};

}  // namespace quantnoise::codec
