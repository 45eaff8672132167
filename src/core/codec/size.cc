#include "quantnoise/codec/size.h"

#include <cmath>
#include <iomanip>
#include <sstream>

namespace quantnoise::codec {

namespace {
constexpr double kMib = 1024.0 * 1024.0;
}

void SizeTracker::add_product(int64_t numel, int block_size, int num_centroids) {
  quantized_parameters_ += numel;
  index_mib_ += std::log2(num_centroids) / block_size * static_cast<double>(numel) / 8 / kMib;
  centroid_mib_ += static_cast<double>(num_centroids) * block_size * 2 / kMib;
}

double SizeTracker::uncompressed_mib() const { return static_cast<double>(num_parameters_) * 4 / kMib; }

double SizeTracker::not_quantized_mib() const {
  return static_cast<double>(num_parameters_ - quantized_parameters_) * 4 / kMib;
}

std::string SizeTracker::summary() const {
  std::ostringstream out;
  out << std::fixed << std::setprecision(2) << "dense " << uncompressed_mib() << " MiB; compressed "
      << compressed_mib() << " MiB (codes " << index_mib() << ", centroids " << centroid_mib()
      << ", not quantized " << not_quantized_mib() << "); ratio " << ratio();
  return out.str();
}

}  // namespace quantnoise::codec
