#include <algorithm>
#include <set>
#include <utility>

#include "core/runtime/model_state.h"
#include "quantnoise/base/error.h"

namespace quantnoise::runtime {

namespace {

constexpr int64_t kFewestRows = 8;
constexpr int64_t kMostRows = 512;

/// What a model remembers of one text.
struct Sequence {
  std::vector<LayerCache> caches;
  int64_t num_tokens = 0;
  int64_t num_counted = 0;  ///< without padding
};

std::unique_ptr<base::ParallelFor> make_pool(int num_threads) {
  QN_REQUIRE(num_threads >= 1 && num_threads <= kMostThreads, ErrorKind::kConfig, "threads: found ",
             num_threads, ", expected 1 to ", kMostThreads);
  if (num_threads == 1) return std::make_unique<base::SerialFor>();
  return std::make_unique<base::ThreadPool>(num_threads);
}

/// Tokens that are read next, of one sequence.
struct Reading {
  Sequence* sequence = nullptr;
  std::span<const int64_t> tokens;
};

/// Some tokens of a reading that passed the model.
struct Passed {
  size_t reading = 0;
  int64_t first_token = 0;
  int64_t num_tokens = 0;
  const float* features = nullptr;  ///< (num_tokens, output_dim)
};

}  // namespace

struct Session::State {
  std::shared_ptr<const LanguageModel> model;
  SessionOptions options;
  std::unique_ptr<base::ParallelFor> pool;
  Workspace workspace;
  Context context;
  DecoderBuffers buffers;
  std::vector<Sequence> sequences;
  std::vector<float> features;  ///< of the last tokens of all sequences
  std::vector<float> logits;

  const TransformerDecoder& decoder() const { return *model->state().decoder; }
  Sequence new_sequence() const { return {decoder().new_caches(), 0, 0}; }
  int64_t rows_at_once() const {
    const int64_t row_bytes = decoder().floats_a_row() * static_cast<int64_t>(sizeof(float));
    return std::clamp(options.work_bytes / row_bytes, kFewestRows, kMostRows);
  }
  PlacedToken place(Sequence& sequence, int64_t token) const;

  /// Runs the tokens of all readings through the model, so many at a time; calls use(list of Passed) each
  /// time.
  template <typename Use>
  void read(std::span<const Reading> readings, const Use& use);
  /// ln p of the targets of what passed.
  void score(std::span<const ScoredTokens> texts, const std::vector<Passed>& parts,
             std::vector<std::vector<float>>& log_probs);
  /// Logits of the last token of every sequence.
  std::span<const float> read_last(std::span<const Reading> readings);
};

PlacedToken Session::State::place(Sequence& sequence, int64_t token) const {
  const architecture::TransformerLmOptions& model_options = model->state().options;
  const bool limited = model_options.decoder_learned_pos && !model_options.no_token_positional_embeddings;
  ++sequence.num_tokens;
  QN_REQUIRE(!limited || sequence.num_tokens <= model_options.max_target_positions, ErrorKind::kData,
             "found ", sequence.num_tokens, " positions, expected at most ",
             model_options.max_target_positions, " (max-target-positions) with learned positions");
  if (token == model_options.padding_idx) return {token, token};
  return {token, model_options.padding_idx + ++sequence.num_counted};
}

template <typename Use>
void Session::State::read(std::span<const Reading> readings, const Use& use) {
  const int64_t most_rows = rows_at_once();
  size_t reading = 0;
  int64_t position = 0;  // in the reading
  std::vector<PlacedToken> tokens;
  std::vector<Segment> segments;
  std::vector<Passed> parts;
  while (reading < readings.size()) {
    tokens.clear();
    segments.clear();
    parts.clear();
    while (reading < readings.size() && static_cast<int64_t>(tokens.size()) < most_rows) {
      const Reading& from = readings[reading];
      const auto first_row = static_cast<int64_t>(tokens.size());
      const auto left = static_cast<int64_t>(from.tokens.size()) - position;
      const int64_t count = std::min(left, most_rows - first_row);
      for (int64_t i = 0; i < count; ++i)
        tokens.push_back(place(*from.sequence, from.tokens[static_cast<size_t>(position + i)]));
      segments.push_back({first_row, count, &from.sequence->caches});
      parts.push_back({reading, position, count, nullptr});
      position += count;
      if (count < left) break;
      ++reading;
      position = 0;
    }
    const float* features = decoder().forward(tokens, segments, buffers, context);
    for (size_t i = 0; i < parts.size(); ++i)
      parts[i].features = features + segments[i].first_row * decoder().output_dim();
    use(parts);
  }
}

std::span<const float> Session::State::read_last(std::span<const Reading> readings) {
  const int64_t dim = decoder().output_dim();
  const auto n = static_cast<int64_t>(readings.size());
  features.resize(static_cast<size_t>(n * dim));
  read(readings, [&](const std::vector<Passed>& parts) {
    for (const Passed& part : parts) {
      if (part.first_token + part.num_tokens < static_cast<int64_t>(readings[part.reading].tokens.size()))
        continue;
      std::copy_n(part.features + (part.num_tokens - 1) * dim, dim,
                  features.begin() + static_cast<int64_t>(part.reading) * dim);
    }
  });
  logits.resize(static_cast<size_t>(n * model->vocab_size()));
  decoder().head().scores(features.data(), n, logits.data(), context);
  return logits;
}

Session::Session(std::shared_ptr<const LanguageModel> model, const SessionOptions& options)
    : state_(std::make_unique<State>()) {
  QN_REQUIRE(options.work_bytes > 0, ErrorKind::kConfig, "bytes of the buffers: found ", options.work_bytes,
             ", expected more than 0");
  state_->model = std::move(model);
  state_->options = options;
  state_->pool = make_pool(options.num_threads);
  state_->context.multiply.arithmetic = options.arithmetic;
  state_->context.multiply.method = options.method;
  state_->context.multiply.parallel_for = state_->pool.get();
  state_->context.multiply.workspace = &state_->workspace;
  if (options.on_product) state_->context.on_product = &state_->options.on_product;
}

Session::~Session() = default;
const LanguageModel& Session::model() const { return *state_->model; }
const SessionOptions& Session::options() const { return state_->options; }
int64_t Session::max_positions() const { return state_->model->max_positions(); }

std::span<const float> Session::start(std::span<const search::Tokens> prompts, int64_t num_sequences) {
  QN_INVARIANT(num_sequences >= 1);
  State& s = *state_;
  std::vector<Sequence> read_once(prompts.size(), s.new_sequence());
  std::vector<Reading> readings;
  for (size_t i = 0; i < prompts.size(); ++i) {
    QN_REQUIRE(!prompts[i].empty(), ErrorKind::kData, "a prompt needs at least one token");
    readings.push_back({&read_once[i], prompts[i]});
  }
  s.sequences.clear();
  s.read_last(readings);
  // Every prompt is read once; its sequences part only afterwards.
  std::vector<float> repeated;
  const auto vocabulary = s.model->vocab_size();
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto row = s.logits.begin() + static_cast<int64_t>(i) * vocabulary;
    for (int64_t j = 0; j < num_sequences; ++j) {
      s.sequences.push_back(read_once[i]);
      if (num_sequences > 1) repeated.insert(repeated.end(), row, row + vocabulary);
    }
  }
  if (num_sequences > 1) s.logits = std::move(repeated);
  return s.logits;
}

std::span<const float> Session::advance(std::span<const int64_t> tokens) {
  State& s = *state_;
  QN_REQUIRE(tokens.size() == s.sequences.size(), ErrorKind::kUsage, "advance: found ", tokens.size(),
             " tokens, expected ", s.sequences.size(), ": one for each sequence");
  std::vector<Reading> readings;
  for (size_t i = 0; i < tokens.size(); ++i) readings.push_back({&s.sequences[i], tokens.subspan(i, 1)});
  try {
    return s.read_last(readings);
  } catch (...) {
    s.sequences.clear();  // half of them may have read their token
    throw;
  }
}

void Session::select(std::span<const int64_t> parents) {
  std::vector<Sequence> selected;
  const auto count = static_cast<int64_t>(state_->sequences.size());
  for (const int64_t parent : parents) {
    QN_REQUIRE(parent >= 0 && parent < count, ErrorKind::kUsage, "select: found the sequence ", parent,
               ", expected 0 to ", count - 1);
    selected.push_back(state_->sequences[static_cast<size_t>(parent)]);
  }
  state_->sequences = std::move(selected);
}

void Session::State::score(std::span<const ScoredTokens> texts, const std::vector<Passed>& parts,
                           std::vector<std::vector<float>>& log_probs) {
  const int64_t dim = decoder().output_dim();
  std::vector<float> rows;
  std::vector<int64_t> targets;
  std::vector<float*> places;
  for (const Passed& part : parts) {
    for (int64_t i = 0; i < part.num_tokens; ++i) {
      const auto place = static_cast<size_t>(part.first_token + i);
      const int64_t target = texts[part.reading].target[place];
      if (target == text::kPad) continue;
      QN_REQUIRE(target >= 0 && target < model->vocab_size(), ErrorKind::kData, "token number: found ",
                 target, ", expected 0 to ", model->vocab_size() - 1);
      targets.push_back(target);
      places.push_back(&log_probs[part.reading][place]);
      rows.insert(rows.end(), part.features + i * dim, part.features + (i + 1) * dim);
    }
  }
  if (targets.empty()) return;
  std::vector<float> scores(targets.size());
  decoder().head().target_log_probs(rows.data(), targets, scores.data(), context);
  for (size_t i = 0; i < places.size(); ++i) *places[i] = scores[i];
}

std::vector<std::vector<float>> Session::log_probs(std::span<const ScoredTokens> texts) {
  State& s = *state_;
  s.sequences.clear();
  std::vector<std::vector<float>> log_probs;
  std::vector<Sequence> sequences(texts.size());
  std::vector<Reading> readings;
  for (size_t i = 0; i < texts.size(); ++i) {
    QN_INVARIANT(texts[i].source.size() == texts[i].target.size());
    sequences[i] = s.new_sequence();
    readings.push_back({&sequences[i], texts[i].source});
    log_probs.emplace_back(texts[i].source.size(), 0.0f);
  }
  s.read(readings, [&](const std::vector<Passed>& parts) {
    s.score(texts, parts, log_probs);
    for (const Passed& part : parts) {
      if (part.first_token + part.num_tokens == static_cast<int64_t>(texts[part.reading].source.size()))
        sequences[part.reading].caches.clear();
    }
  });
  return log_probs;
}

int64_t Session::cache_bytes_a_token() const {
  int64_t bytes = 0;
  for (const LayerCache& cache : state_->decoder().new_caches())
    bytes += cache.shape().page_bytes() / CacheShape::kPagePositions;
  return bytes;
}

MemoryReport Session::memory() const {
  const State& s = *state_;
  MemoryReport report = s.model->memory();
  std::vector<const void*> pages;
  int64_t page_bytes = 0;
  for (const Sequence& sequence : s.sequences) {
    for (const LayerCache& cache : sequence.caches) {
      cache.append_pages(pages);
      page_bytes = cache.shape().page_bytes();
    }
  }
  report.cache = static_cast<int64_t>(std::set<const void*>(pages.begin(), pages.end()).size()) * page_bytes;
  report.work = s.workspace.owned_bytes() + s.context.quantized.capacity_bytes() +
                s.context.statistics.capacity_bytes() + s.context.codes.capacity_bytes() +
                s.context.scales.capacity_bytes() + s.context.zero_points.capacity_bytes();
  for (const auto& buffer : s.context.scratch) report.work += buffer.capacity_bytes();
  for (const AlignedBuffer<float>* buffer :
       {&s.buffers.stream, &s.buffers.branch, &s.buffers.hidden, &s.buffers.attention.query,
        &s.buffers.attention.key, &s.buffers.attention.value, &s.buffers.attention.mixed}) {
    report.work += buffer->capacity_bytes();
  }
  report.work += static_cast<int64_t>((s.features.capacity() + s.logits.capacity()) * sizeof(float));
  return report;
}

}  // namespace quantnoise::runtime
