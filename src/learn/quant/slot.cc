#include "quantnoise/quant/slot.h"

#include <algorithm>

#include "quantnoise/base/error.h"
#include "quantnoise/quant/capsule.h"

namespace quantnoise::quant {

WeightSlot::WeightSlot(std::shared_ptr<Representation> representation)
    : representation_(std::move(representation)) {
  QN_INVARIANT(representation_ != nullptr);
}

void WeightSlot::set_name(std::string name) {
  const uint64_t hash = base::hash_name(name);
  if (hash != name_hash_) release_cache();
  name_ = std::move(name);
  name_hash_ = hash;
  element_hash_ = base::hash_name(name_ + ".elements");
}

void WeightSlot::exchange(std::shared_ptr<Representation> next) {
  QN_INVARIANT(next != nullptr);
  QN_REQUIRE(next->shape() == representation_->shape(), ErrorKind::kConfig, "weight '", name_,
             "': found shape ", at::IntArrayRef(next->shape()), ", expected ",
             at::IntArrayRef(representation_->shape()));
  const std::string old_name = representation_->parameter_name();
  const std::string new_name = next->parameter_name();
  const at::Tensor parameter = next->parameter();
  parameter.set_requires_grad(representation_->parameter().requires_grad());
  // Nothing below throws.
  representation_.swap(next);
  release_cache();
  for (SlotOwner* owner : owners_) owner->replace_registration(old_name, new_name, parameter);
}

void WeightSlot::add_owner(SlotOwner* owner) {
  if (std::find(owners_.begin(), owners_.end(), owner) == owners_.end()) owners_.push_back(owner);
}

void WeightSlot::remove_owner(SlotOwner* owner) { std::erase(owners_, owner); }

void check_noise(const NoiseOptions& options, int64_t cols, const std::string& name) {
  const double p = options.probability;
  QN_REQUIRE(options.scalar_probability >= 0 && options.scalar_probability <= 1, ErrorKind::kConfig,
             "noise of '", name, "': found probability ", options.scalar_probability,
             " of elements, expected 0 to 1");
  if (options.kind == NoiseKind::kPqExact || options.kind == NoiseKind::kNone) {
    QN_REQUIRE(p >= 0 && p <= 1, ErrorKind::kConfig, "noise of '", name, "': found probability ", p,
               ", expected 0 to 1");
  } else {
    QN_REQUIRE(p >= 0 && p < 1, ErrorKind::kConfig, "noise of '", name, "': found probability ", p,
               ", expected at least 0 and less than 1 for kind ", noise_kind_name(options.kind));
  }
  if (!options.blocks_active()) return;
  QN_REQUIRE(options.block_size > 0 && cols % options.block_size == 0, ErrorKind::kConfig, "noise of '", name,
             "': found block size ", options.block_size, ", expected a divisor of its ", cols,
             " input features");
  if (options.kind != NoiseKind::kPqExact) return;
  QN_REQUIRE(options.num_centroids >= 1 && options.num_centroids <= 65536, ErrorKind::kConfig, "noise of '",
             name, "': found ", options.num_centroids, " centroids, expected 1 to 65536");
  QN_REQUIRE(options.refresh_interval >= 1 && options.kmeans_iterations >= 1, ErrorKind::kConfig,
             "noise of '", name, "': found refresh interval ", options.refresh_interval, " and ",
             options.kmeans_iterations, " iterations, expected at least 1 of each");
}

void WeightSlot::set_noise(const NoiseOptions& options) {
  check_noise(options, matrix_shape(representation_->shape()).cols, name_);
  noise_ = options;
  release_cache();
}

WeightUse WeightSlot::use(bool training, at::ScalarType type) const {
  const NoiseClock& clock = noise_clock();
  WeightUse use;
  use.training = training;
  if (noised(training)) use.noise = representation_->effective(noise_);
  use.type = type;
  use.stream = base::RandomStream(clock.seed, name_hash_, clock.update, clock.micro_batch);
  use.element_stream = base::RandomStream(clock.seed, element_hash_, clock.update, clock.micro_batch);
  use.update = clock.update;
  return use;
}

WeightSlot::CacheKey WeightSlot::cache_key(bool training, at::ScalarType type) const {
  const at::Tensor parameter = representation_->parameter();
  CacheKey key{noise_clock(), training, type, static_cast<uint32_t>(parameter._version()),
               parameter.const_data_ptr()};
  if (!noised(training)) key.clock.micro_batch = 0;
  return key;
}

bool WeightSlot::is_cached(const CacheKey& key) const {
  if (!cached_.defined() || key != cached_key_) return false;
  // A tensor made in inference mode cannot be saved for a backward pass.
  return !cached_.is_inference() || c10::InferenceMode::is_enabled();
}

template <typename Compute>
at::Tensor WeightSlot::naming_errors(const Compute& compute) const {
  try {
    return compute();
  } catch (Error& error) {
    throw error.in("layer " + name_);
  }
}

at::Tensor WeightSlot::value(bool training, at::ScalarType type) {
  const CacheKey key = cache_key(training, type);
  if (is_cached(key)) return cached_;
  const at::NoGradGuard no_grad;
  WeightUse wanted = use(training, type);
  // Memory that no graph and no caller holds is written again: page faults cost more than the noise.
  const bool ours = cached_.defined() && cached_.use_count() == 1 && cached_.storage().use_count() == 1;
  if (ours && !cached_.is_inference()) {
    wanted.buffer = std::move(cached_);
  }
  cached_.reset();
  cached_ = naming_errors([&] { return representation_->materialize(wanted); });
  cached_key_ = key;
  return cached_;
}

at::Tensor WeightSlot::rows(const at::Tensor& indices, bool training) {
  const at::NoGradGuard no_grad;
  const WeightUse wanted = use(training, at::kFloat);
  return naming_errors([&] { return representation_->materialize_rows(indices, wanted); });
}

void WeightSlot::release_cache() { cached_.reset(); }

namespace {

struct StraightThrough : public torch::autograd::Function<StraightThrough> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& parameter,
                            const at::Tensor& value, const std::shared_ptr<Representation>& representation) {
    context->saved_data["representation"] = capsule(representation);
    // A tensor of its own: the cached value must not receive this node's history.
    return value.variable_data();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const std::shared_ptr<Representation> representation = uncapsule(context->saved_data["representation"]);
    // The engine may hand this gradient to others too.
    return {representation->parameter_gradient(grads[0].clone(at::MemoryFormat::Contiguous)), at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor WeightSlot::differentiable(bool training) {
  return StraightThrough::apply(representation_->parameter(), value(training, at::kFloat), representation_);
}

}  // namespace quantnoise::quant
