#pragma once
// A language model from a file, without any framework: opened once, run by any number of sessions.
//
//   auto model = runtime::LanguageModel::open("compressed.qn");
//   runtime::Session session(model);
//   const std::vector<std::string> prompts = {"In the beginning"};
//   for (const auto& texts : runtime::generate_text(session, prompts, {})) …
//
// (runtime/generate.h, runtime/score.h). Dense, affine and product-quantized files run alike, on the codes.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quantnoise/pack/model_file.h"
#include "quantnoise/runtime/model.h"
#include "quantnoise/search/sampling.h"
#include "quantnoise/text/dictionary.h"
#include "quantnoise/text/tokenizer.h"

namespace quantnoise::runtime {

/// Immutable: sessions of several threads may share one.
class LanguageModel {
 public:
  /// Maps the file; weights are used where they lie. Errors: as pack::read_model_file; kUnsupported for a
  /// family that the runtime does not know; kFormat for weights, options, dictionary or tokenizer that do not
  /// fit each other. Each names the file.
  static std::shared_ptr<const LanguageModel> open(const std::string& path);
  /// The same from a file that was read already; `name` stands for the path in messages.
  static std::shared_ptr<const LanguageModel> from_file(pack::ModelFile file, const std::string& name);
  ~LanguageModel();

  const std::string& name() const;
  const std::string& architecture() const;
  const text::DictionaryView& dictionary() const;
  const text::Tokenizer& tokenizer() const;
  int64_t vocab_size() const;
  /// Tokens that a sequence may have: as in training.
  int64_t max_positions() const;
  /// All layers with a weight matrix, in the order of the architecture.
  const std::vector<LayerReport>& layers() const;
  /// Options of the training task that the file remembers (tokens-per-sample, sample-break-mode …), as text.
  const std::map<std::string, std::string>& task_options() const;
  /// Bytes of the file, and of what is held beside it.
  MemoryReport memory() const;

  struct State;
  const State& state() const { return *state_; }

 private:
  explicit LanguageModel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

inline constexpr int kMostThreads = 1024;

struct SessionOptions {
  Arithmetic arithmetic = Arithmetic::kPrecise;
  Method method = Method::kAuto;  ///< of products with product codes
  int num_threads = 1;            ///< 1 … kMostThreads; results do not depend on it
  /// Bound of the buffers between layers. More of it lets more tokens of a prompt pass at once.
  int64_t work_bytes = int64_t{1} << 20;
  /// Called for every product of a linear layer, in the calling thread: to measure what a model's inputs are.
  ProductObserver on_product = {};
};

/// A text to be scored. Both have the same length; where the target is text::kPad nothing is scored.
struct ScoredTokens {
  std::vector<int64_t> source;
  std::vector<int64_t> target;
};

/// Threads, buffers and caches to run a model with. One caller at a time.
class Session : public search::Scorer {
 public:
  /// Errors: kConfig for options out of range.
  explicit Session(std::shared_ptr<const LanguageModel> model, const SessionOptions& options = {});
  ~Session() override;

  const LanguageModel& model() const;
  const SessionOptions& options() const;

  // Generation; see search::Scorer. Logits are log probabilities where the model has an adaptive softmax.
  int64_t max_positions() const override;
  int64_t max_prompts() const override { return 64; }
  std::span<const float> start(std::span<const search::Tokens> prompts, int64_t num_sequences) override;
  std::span<const float> advance(std::span<const int64_t> tokens) override;
  void select(std::span<const int64_t> parents) override;

  /// ln p of every target given the source up to its place; 0 where nothing is scored. Texts pass together.
  /// The sequences of a generation are forgotten. Errors: kData for token numbers that are not in the
  /// vocabulary, and for texts longer than max_positions() where positions are learned.
  std::vector<std::vector<float>> log_probs(std::span<const ScoredTokens> texts);

  /// Keys and values that a sequence keeps of a token.
  int64_t cache_bytes_a_token() const;
  /// Of the model and this session, now.
  MemoryReport memory() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace quantnoise::runtime
