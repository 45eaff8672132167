// What a checkpoint keeps of an activation quantizer.

#include <algorithm>

#include "quantnoise/base/error.h"
#include "quantnoise/quant/activation.h"

namespace quantnoise::quant {

namespace {

using State = std::map<std::string, at::Tensor>;

constexpr char kOptions[] = "options";          // int64: bits, observer
constexpr char kScale[] = "scale";              // fp32
constexpr char kZeroPoint[] = "zero_point";     // int64
constexpr char kCalibration[] = "calibration";  // int64: Calibration
constexpr char kExtent[] = "observer.extent";   // fp32: smallest, largest value
constexpr char kBins[] = "observer.bins";       // int64: number of values, exponent of the width, first bin
constexpr char kCounts[] = "observer.counts";   // int64, (2048) or (0)

at::Tensor integers(const std::vector<int64_t>& values) { return torch::tensor(values, at::kLong); }

const at::Tensor& find(const State& state, const char* name, at::ScalarType type, int64_t size) {
  const auto found = state.find(name);
  QN_REQUIRE(found != state.end(), ErrorKind::kFormat, "state of the quantizer: found no '", name, "'");
  const at::Tensor& tensor = found->second;
  QN_REQUIRE(tensor.dim() == 1 && tensor.scalar_type() == type && (size < 0 || tensor.size(0) == size),
             ErrorKind::kFormat, "state of the quantizer: found '", name, "' as ", tensor.toString(), " ",
             tensor.sizes());
  return tensor;
}

std::vector<int64_t> read_integers(const State& state, const char* name, int64_t size) {
  const at::Tensor tensor = find(state, name, at::kLong, size).contiguous();
  return {tensor.const_data_ptr<int64_t>(), tensor.const_data_ptr<int64_t>() + tensor.numel()};
}

codec::RunningObserver read_observer(const State& state, codec::Observer observer) {
  const at::Tensor extent = find(state, kExtent, at::kFloat, 2);
  const std::vector<int64_t> bins = read_integers(state, kBins, 3);
  codec::ObserverState read;
  read.observer = observer;
  read.min = extent[0].item<float>();
  read.max = extent[1].item<float>();
  read.num_values = bins[0];
  read.bin_exponent = static_cast<int>(std::clamp<int64_t>(bins[1], -1000, 1000));
  read.first_bin = bins[2];
  read.counts = read_integers(state, kCounts, -1);
  return codec::RunningObserver(std::move(read));
}

}  // namespace

State ActivationQuantizer::training_state() const {
  State state;
  if (options_.mode != ActivationMode::kStatic) return state;
  state[kOptions] = integers({options_.bits, static_cast<int64_t>(options_.observer)});
  state[kCalibration] = integers({static_cast<int64_t>(calibration_)});
  if (grid_) {
    state[kScale] = torch::tensor({grid_->scales[0]}, at::kFloat);
    state[kZeroPoint] = integers({grid_->zero_points[0]});
  }
  if (observer_) {
    const codec::ObserverState& seen = observer_->state();
    state[kExtent] = torch::tensor({seen.min, seen.max}, at::kFloat);
    state[kBins] = integers({seen.num_values, seen.bin_exponent, seen.first_bin});
    state[kCounts] = integers(seen.counts);
  }
  return state;
}

void ActivationQuantizer::load_training_state(const State& state) {
  if (options_.mode != ActivationMode::kStatic) return;
  const std::vector<int64_t> own = {options_.bits, static_cast<int64_t>(options_.observer)};
  if (read_integers(state, kOptions, 2) != own) return;
  std::optional<codec::AffineGrid> grid;
  if (state.contains(kScale)) {
    const float scale = find(state, kScale, at::kFloat, 1).item<float>();
    const int64_t zero_point = std::clamp<int64_t>(read_integers(state, kZeroPoint, 1)[0], -1, 256);
    grid = codec::AffineGrid{options_.bits, -1, {scale}, {static_cast<int32_t>(zero_point)}};
    codec::check_affine_grid(*grid, {{1}}, ErrorKind::kFormat);
  }
  const int64_t calibration = read_integers(state, kCalibration, 1)[0];
  QN_REQUIRE(calibration == 0 || calibration == 1, ErrorKind::kFormat,
             "state of the quantizer: found calibration ", calibration, ", expected 0 or 1");
  std::optional<codec::RunningObserver> observer;
  if (calibration == 1) observer = read_observer(state, options_.observer);
  grid_ = std::move(grid);
  observer_ = std::move(observer);
  calibration_ = static_cast<Calibration>(calibration);
  so_far_.reset();
}

}  // namespace quantnoise::quant
