#include "learn/train/meters.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace quantnoise::train {

double to_base2(double nats) { return nats / std::numbers::ln2; }

void Meter::add(const UpdateStats& stats, double seconds) {
  loss_sum_ += stats.loss;
  sample_size_ += stats.sample_size;
  tokens_ += stats.num_tokens;
  sentences_ += stats.num_sentences;
  ++updates_;
  clipped_ += stats.clipped ? 1 : 0;
  norm_sum_ += stats.gradient_norm;
  seconds_ += seconds;
}

double Meter::loss() const {
  return to_base2(loss_sum_ / static_cast<double>(std::max<int64_t>(sample_size_, 1)));
}

void Meter::describe(Event& event) const {
  const auto updates = static_cast<double>(std::max<int64_t>(updates_, 1));
  const double seconds = std::max(seconds_, 1e-9);
  // Of a token, also where the loss is that of a sentence.
  const double token_loss = to_base2(loss_sum_ / static_cast<double>(std::max<int64_t>(tokens_, 1)));
  event.add("loss", loss()).add("ppl", std::exp2(token_loss));
  event.add("wps", static_cast<double>(tokens_) / seconds)
      .add("ups", static_cast<double>(updates_) / seconds);
  event.add("wpb", static_cast<double>(tokens_) / updates)
      .add("bsz", static_cast<double>(sentences_) / updates);
  event.add("gnorm", norm_sum_ / updates).add("clip", 100.0 * static_cast<double>(clipped_) / updates);
}

std::map<std::string, double> Meter::state() const {
  return {{"loss_sum", loss_sum_},
          {"sample_size", static_cast<double>(sample_size_)},
          {"tokens", static_cast<double>(tokens_)},
          {"sentences", static_cast<double>(sentences_)},
          {"updates", static_cast<double>(updates_)},
          {"clipped", static_cast<double>(clipped_)},
          {"norm_sum", norm_sum_},
          {"seconds", seconds_}};
}

void Meter::load_state(const std::map<std::string, double>& state) {
  const auto get = [&](const char* key) {
    const auto found = state.find(key);
    return found == state.end() ? 0.0 : found->second;
  };
  loss_sum_ = get("loss_sum");
  sample_size_ = static_cast<int64_t>(get("sample_size"));
  tokens_ = static_cast<int64_t>(get("tokens"));
  sentences_ = static_cast<int64_t>(get("sentences"));
  updates_ = static_cast<int64_t>(get("updates"));
  clipped_ = static_cast<int64_t>(get("clipped"));
  norm_sum_ = get("norm_sum");
  seconds_ = get("seconds");
}

}  // namespace quantnoise::train
