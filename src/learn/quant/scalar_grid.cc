#include "learn/quant/scalar_grid.h"

#include <algorithm>
#include <bit>
#include <span>

#include "quantnoise/base/error.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::quant {

namespace {

constexpr const char* kScalesKey = "grid_scales";
constexpr const char* kZeroPointsKey = "grid_zero_points";
constexpr const char* kFormKey = "grid_form";  // bits, axis, update
constexpr int64_t kOfFile = -1;

bool is_channelled(codec::Observer observer) {
  return observer == codec::Observer::kChannel || observer == codec::Observer::kChannelL2;
}

template <typename Value>
at::Tensor to_tensor(const std::vector<Value>& values, at::ScalarType type) {
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, type);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<Value>());
  return tensor;
}

template <typename Value>
std::vector<Value> to_vector(const at::Tensor& tensor, at::ScalarType type) {
  const at::Tensor values = tensor.to(at::kCPU, type).contiguous();
  const Value* first = values.const_data_ptr<Value>();
  return {first, first + values.numel()};
}

const at::Tensor& find(const std::map<std::string, at::Tensor>& state, const char* key) {
  const auto found = state.find(key);
  QN_REQUIRE(found != state.end(), ErrorKind::kFormat, "training state of an int-N weight: ", key,
             " is missing");
  return found->second;
}

}  // namespace

int64_t grid_number(int64_t update, int64_t update_step) {
  const auto early = std::bit_width(static_cast<uint64_t>(std::min(update, update_step - 1)));
  return early + update / update_step;
}

ScalarGrid::ScalarGrid(const at::Tensor& weight, const ScalarOptions& options) : options_(options) {
  observe(weight, 0);
}

ScalarGrid::ScalarGrid(codec::AffineGrid grid, const ScalarOptions& options)
    : options_(options), grid_(std::move(grid)), observed_update_(kOfFile) {}

bool ScalarGrid::fits_options(const codec::AffineGrid& grid) const {
  return grid.bits == options_.bits && (grid.axis >= 0) == is_channelled(options_.observer);
}

void ScalarGrid::configure(const at::Tensor& weight, const ScalarOptions& options) {
  options_ = options;
  if (!fits_options(grid_)) observe(weight, 0);
}

void ScalarGrid::update(const at::Tensor& weight, uint64_t update) {
  const auto now = static_cast<int64_t>(update);
  const int64_t step = options_.update_step;
  const bool due = observed_update_ == kOfFile
                       ? now >= step
                       : grid_number(now, step) != grid_number(observed_update_, step);
  if (due) observe(weight, now);
}

void ScalarGrid::observe(const at::Tensor& weight, int64_t update) {
  codec::ObserveOptions options;
  options.observer = options_.observer;
  options.bits = options_.bits;
  const std::span<const float> values(weight.const_data_ptr<float>(), static_cast<size_t>(weight.numel()));
  grid_ = codec::observe_weight(values, weight.sizes(), options, torch_parallel_for());
  observed_update_ = update;
}

bool ScalarGrid::is_in(const std::map<std::string, at::Tensor>& state) { return state.contains(kFormKey); }

void ScalarGrid::save(std::map<std::string, at::Tensor>& state) const {
  state[kScalesKey] = to_tensor(grid_.scales, at::kFloat);
  state[kZeroPointsKey] = to_tensor(grid_.zero_points, at::kInt);
  state[kFormKey] = to_tensor(std::vector<int64_t>{grid_.bits, grid_.axis, observed_update_}, at::kLong);
}

void ScalarGrid::load(const std::map<std::string, at::Tensor>& state, const std::vector<int64_t>& shape) {
  const std::vector<int64_t> form = to_vector<int64_t>(find(state, kFormKey), at::kLong);
  QN_REQUIRE(form.size() == 3, ErrorKind::kFormat, "training state of an int-N weight: found ", form.size(),
             " numbers in ", kFormKey, ", expected 3");
  codec::AffineGrid grid{static_cast<int>(form[0]), static_cast<int>(form[1]),
                         to_vector<float>(find(state, kScalesKey), at::kFloat),
                         to_vector<int32_t>(find(state, kZeroPointsKey), at::kInt)};
  codec::check_affine_grid(grid, shape, ErrorKind::kFormat);
  if (!fits_options(grid)) return;
  grid_ = std::move(grid);
  observed_update_ = std::max<int64_t>(form[2], kOfFile);
}

}  // namespace quantnoise::quant
