#include "core/runtime/output_head.h"

#include <algorithm>
#include <cmath>

#include "quantnoise/base/error.h"
#include "quantnoise/kernels/cross_entropy.h"

namespace quantnoise::runtime {

namespace {

using architecture::Band;
using architecture::TransformerLmOptions;

// Scores of the vocabulary for so many numbers at a time.
constexpr int64_t kScoresAtOnce = 512 * 1024;

/// ln p of one class a row, of a softmax over `num_classes` classes whose scores `score(first, n, out)`
/// gives. adds: to what stands in out already.
template <typename Scores>
void add_log_probs(int64_t num_classes, std::span<const int64_t> classes, const Scores& score, float* out,
                   Context& context) {
  const auto n = static_cast<int64_t>(classes.size());
  const int64_t at_once = std::max<int64_t>(1, kScoresAtOnce / num_classes);
  std::vector<float> scores(static_cast<size_t>(std::min(n, at_once) * num_classes));
  for (int64_t first = 0; first < n; first += at_once) {
    const int64_t count = std::min(at_once, n - first);
    score(first, count, scores.data());
    for_each_part(context, count, 10 * count * num_classes, [&](int64_t row) {
      out[first + row] -= kernels::cross_entropy_kernels().row_f32(
          scores.data() + row * num_classes, num_classes, classes[static_cast<size_t>(first + row)], false);
    });
  }
}

/// scores ← ln of their softmax + offset.
void normalize(float* scores, int64_t count, float offset) {
  std::vector<float> consumed(scores, scores + count);  // the kernel leaves exponentials behind
  const float loss = kernels::cross_entropy_kernels().row_f32(consumed.data(), count, 0, false);
  const float shift = offset - loss - scores[0];
  for (int64_t i = 0; i < count; ++i) scores[i] += shift;
}

class ProjectionHead : public OutputHead {
 public:
  ProjectionHead(const TransformerLmOptions& options, Plan& plan)
      : projection_(plan.linear("decoder.output_projection", options.decoder_output_dim, options.vocab_size,
                                Bias::kNone,
                                options.share_decoder_input_output_embed ? "decoder.embed_tokens" : "")) {}

  void scores(const float* features, int64_t n, float* out, Context& context) const override {
    projection_.forward(features, n, out, context);
  }
  void target_log_probs(const float* features, std::span<const int64_t> targets, float* out,
                        Context& context) const override {
    std::fill_n(out, targets.size(), 0.0f);
    const auto score = [&](int64_t first, int64_t n, float* to) {
      projection_.forward(features + first * projection_.in_features(), n, to, context);
    };
    add_log_probs(projection_.out_features(), targets, score, out, context);
  }

 private:
  Linear projection_;
};

/// A head over the frequent words and one class for each further band, and a smaller softmax inside each of
/// those.
class AdaptiveHead : public OutputHead {
 public:
  AdaptiveHead(const TransformerLmOptions& options, Plan& plan);

  void scores(const float* features, int64_t n, float* out, Context& context) const override;
  void target_log_probs(const float* features, std::span<const int64_t> targets, float* out,
                        Context& context) const override;

 private:
  struct Tail {
    Band band;
    std::optional<Linear> own_projection;
    std::optional<TransposedLinear> tied_projection;
    Linear table;
  };

  int64_t num_words() const { return bands_.front().size(); }
  int64_t head_classes() const { return num_words() + static_cast<int64_t>(tails_.size()); }
  void head_scores(const float* features, int64_t n, float* out, Context& context) const;
  std::vector<float> project(const Tail& tail, const float* features, int64_t n, Context& context) const;
  void add_tail_log_probs(const Tail& tail, const float* features, std::span<const int64_t> targets,
                          float* out, Context& context) const;

  int64_t dim_;
  std::vector<Band> bands_;
  std::vector<Linear> head_;  ///< the words, then (when they are tied) the classes
  std::vector<Tail> tails_;
};

AdaptiveHead::AdaptiveHead(const TransformerLmOptions& options, Plan& plan)
    : dim_(options.decoder_output_dim),
      bands_(architecture::make_bands("adaptive-softmax", options.adaptive_softmax_cutoff, options.vocab_size,
                                      dim_, options.adaptive_softmax_factor)) {
  const std::string name = "decoder.adaptive_softmax", input = "decoder.embed_tokens.embeddings.";
  const bool tied = options.tie_adaptive_weights;
  const auto num_tails = static_cast<int64_t>(bands_.size()) - 1;
  const std::string first_table = tied ? input + "0.0" : "";
  if (tied && num_tails > 0) {
    head_.push_back(plan.linear(name + ".head.word_proj", dim_, num_words(), Bias::kNone, first_table));
    head_.push_back(plan.linear(name + ".head.class_proj", dim_, num_tails, Bias::kNone));
  } else {
    head_.push_back(plan.linear(name + ".head", dim_, num_words() + num_tails, Bias::kNone, first_table));
  }
  for (int64_t i = 0; i < num_tails; ++i) {
    const Band& band = bands_[static_cast<size_t>(i) + 1];
    const std::string path = str_cat(name, ".tail.", i), owner = str_cat(input, i + 1);
    std::optional<Linear> own;
    std::optional<TransposedLinear> shared;
    if (tied && options.tie_adaptive_proj) {
      shared = plan.transposed_linear(path + ".0", dim_, band.dim, owner + ".1");
    } else {
      own = plan.linear(path + ".0", dim_, band.dim, Bias::kNone);
    }
    tails_.push_back(
        {band, std::move(own), std::move(shared),
         plan.linear(path + ".2", band.dim, band.size(), Bias::kNone, tied ? owner + ".0" : "")});
  }
}

// out: (n, head_classes())
void AdaptiveHead::head_scores(const float* features, int64_t n, float* out, Context& context) const {
  if (head_.size() == 1) return head_[0].forward(features, n, out, context);
  std::vector<float> words(static_cast<size_t>(n * num_words()));
  std::vector<float> classes(static_cast<size_t>(n) * tails_.size());
  head_[0].forward(features, n, words.data(), context);
  head_[1].forward(features, n, classes.data(), context);
  const auto num_tails = static_cast<int64_t>(tails_.size());
  for (int64_t row = 0; row < n; ++row) {
    float* to = std::copy_n(words.data() + row * num_words(), num_words(), out + row * head_classes());
    std::copy_n(classes.data() + row * num_tails, num_tails, to);
  }
}

std::vector<float> AdaptiveHead::project(const Tail& tail, const float* features, int64_t n,
                                         Context& context) const {
  std::vector<float> projected(static_cast<size_t>(n * tail.band.dim));
  if (tail.own_projection) {
    tail.own_projection->forward(features, n, projected.data(), context);
  } else {
    tail.tied_projection->forward(features, n, projected.data(), context);
  }
  return projected;
}

void AdaptiveHead::scores(const float* features, int64_t n, float* out, Context& context) const {
  const int64_t vocab_size = bands_.back().end;
  std::vector<float> head(static_cast<size_t>(n * head_classes()));
  head_scores(features, n, head.data(), context);
  for (int64_t row = 0; row < n; ++row) {
    float* scores = head.data() + row * head_classes();
    normalize(scores, head_classes(), 0.0f);
    std::copy_n(scores, num_words(), out + row * vocab_size);
  }
  for (size_t i = 0; i < tails_.size(); ++i) {
    const Tail& tail = tails_[i];
    const std::vector<float> projected = project(tail, features, n, context);
    std::vector<float> inside(static_cast<size_t>(n * tail.band.size()));
    tail.table.forward(projected.data(), n, inside.data(), context);
    for (int64_t row = 0; row < n; ++row) {
      float* scores = inside.data() + row * tail.band.size();
      normalize(scores, tail.band.size(), head[static_cast<size_t>(row * head_classes() + num_words()) + i]);
      std::copy_n(scores, tail.band.size(), out + row * vocab_size + tail.band.begin);
    }
  }
}

void AdaptiveHead::target_log_probs(const float* features, std::span<const int64_t> targets, float* out,
                                    Context& context) const {
  std::vector<int64_t> classes(targets.begin(), targets.end());
  for (int64_t& target : classes) {
    for (size_t i = 0; i < tails_.size(); ++i) {
      const Band& band = tails_[i].band;
      if (target < band.begin || target >= band.end) continue;
      target = num_words() + static_cast<int64_t>(i);
      break;
    }
  }
  std::fill_n(out, targets.size(), 0.0f);
  const auto score = [&](int64_t first, int64_t n, float* to) {
    head_scores(features + first * dim_, n, to, context);
  };
  add_log_probs(head_classes(), classes, score, out, context);
  for (const Tail& tail : tails_) add_tail_log_probs(tail, features, targets, out, context);
}

void AdaptiveHead::add_tail_log_probs(const Tail& tail, const float* features,
                                      std::span<const int64_t> targets, float* out, Context& context) const {
  std::vector<size_t> here;
  std::vector<int64_t> inside;
  std::vector<float> rows;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] < tail.band.begin || targets[i] >= tail.band.end) continue;
    here.push_back(i);
    inside.push_back(targets[i] - tail.band.begin);
    const float* from = features + static_cast<int64_t>(i) * dim_;
    rows.insert(rows.end(), from, from + dim_);
  }
  if (here.empty()) return;
  const std::vector<float> projected = project(tail, rows.data(), static_cast<int64_t>(here.size()), context);
  std::vector<float> log_probs(here.size(), 0.0f);
  const auto score = [&](int64_t first, int64_t n, float* to) {
    tail.table.forward(projected.data() + first * tail.band.dim, n, to, context);
  };
  add_log_probs(tail.band.size(), inside, score, log_probs.data(), context);
  for (size_t i = 0; i < here.size(); ++i) out[here[i]] += log_probs[i];
}

}  // namespace

std::unique_ptr<OutputHead> make_output_head(const TransformerLmOptions& options, Plan& plan) {
  if (options.has_adaptive_softmax()) return std::make_unique<AdaptiveHead>(options, plan);
  return std::make_unique<ProjectionHead>(options, plan);
}

}  // namespace quantnoise::runtime
