#include "tools/common/bench_measure.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

#include "quantnoise/base/parallel.h"
#include "quantnoise/base/random.h"
#include "quantnoise/pack/model_file.h"

namespace quantnoise::tool {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// The fastest run of each, by turns: at least three rounds, until so many seconds have gone.
std::vector<double> fastest_runs(const std::vector<std::function<void()>>& works, double seconds) {
  std::vector<double> best(works.size(), 1e30);
  double total = 0;
  for (int round = 0; round < 3 || total < seconds * static_cast<double>(works.size()); ++round) {
    for (size_t i = 0; i < works.size(); ++i) {
      const double once = seconds_of(works[i]);
      best[i] = std::min(best[i], once);
      total += once;
    }
  }
  return best;
}

std::unique_ptr<base::ParallelFor> make_pool(int num_threads) {
  if (num_threads == 1) return std::make_unique<base::SerialFor>();
  return std::make_unique<base::ThreadPool>(num_threads);
}

std::vector<float> inputs(int64_t count) {
  base::SequentialRandom random(1, "bench");
  std::vector<float> values(static_cast<size_t>(count));
  // Sums of four uniform numbers: close enough to a bell.
  for (float& value : values)
    value = random.uniform() + random.uniform() + random.uniform() + random.uniform() - 2;
  return values;
}

/// Any tokens but the special ones.
search::Tokens random_tokens(int64_t count, int64_t vocab_size) {
  base::SequentialRandom random(1, "bench.tokens");
  search::Tokens tokens(static_cast<size_t>(count));
  for (int64_t& token : tokens) {
    token = text::kNumSpecial + static_cast<int64_t>(random.below(static_cast<uint64_t>(
                                    std::max<int64_t>(1, vocab_size - text::kNumSpecial))));
    token = std::min(token, vocab_size - 1);
  }
  return tokens;
}

}  // namespace

BenchSettings fitted(const runtime::LanguageModel& model, BenchSettings settings) {
  const int64_t positions = model.max_positions();
  settings.new_tokens = std::max<int64_t>(1, std::min(settings.new_tokens, positions / 2));
  settings.prompt_tokens =
      std::max<int64_t>(1, std::min(settings.prompt_tokens, positions - settings.new_tokens));
  return settings;
}

std::shared_ptr<const runtime::LanguageModel> dense_twin(const std::string& path) {
  pack::ModelFile file = pack::read_model_file(path);
  for (auto& [name, weight] : file.weights) {
    const int64_t zero_row = weight.zero_row;
    weight = codec::pack_dense(codec::unpack_to_float(weight), weight.shape);
    weight.zero_row = zero_row;
  }
  return runtime::LanguageModel::from_file(std::move(file), path + " (dense fp32)");
}

std::vector<LayerTime> time_layers(const runtime::LanguageModel& model, const runtime::LanguageModel* dense,
                                   const BenchSettings& settings, int num_threads, int64_t batch) {
  const auto pool = make_pool(num_threads);
  runtime::Workspace workspace;
  runtime::MultiplyOptions options;
  options.arithmetic = settings.arithmetic;
  options.parallel_for = pool.get();
  options.workspace = &workspace;
  std::vector<LayerTime> times;
  for (size_t i = 0; i < model.layers().size(); ++i) {
    const runtime::LayerReport& layer = model.layers()[i];
    if (layer.matrix == nullptr) continue;
    const std::vector<float> x = inputs(batch * layer.cols);
    std::vector<float> y(static_cast<size_t>(batch * layer.rows));
    const auto product = [&](const runtime::Matrix& matrix) {
      return [&matrix, &x, &y, &options, batch] { matrix.multiply(x, batch, {}, y, options); };
    };
    std::vector<std::function<void()>> works = {product(*layer.matrix)};
    if (dense != nullptr) works.emplace_back(product(*dense->layers()[i].matrix));
    const std::vector<double> best = fastest_runs(works, settings.seconds / 10);
    times.push_back({&layer, batch, best[0] * 1e6, dense != nullptr ? best[1] * 1e6 : 0});
  }
  return times;
}

std::vector<ModelSpeed> time_models(const std::vector<std::shared_ptr<const runtime::LanguageModel>>& models,
                                    const BenchSettings& settings, int num_threads, int64_t batch) {
  const int64_t prompt_tokens = settings.prompt_tokens, new_tokens = settings.new_tokens;
  const search::Tokens prompt = random_tokens(prompt_tokens, models.front()->vocab_size());
  const search::Tokens next = random_tokens(new_tokens * batch, models.front()->vocab_size());
  const std::vector<search::Tokens> prompts(static_cast<size_t>(batch), prompt);
  std::vector<std::unique_ptr<runtime::Session>> sessions;
  std::vector<std::function<void()>> reads, generations;
  for (const auto& model : models) {
    sessions.push_back(std::make_unique<runtime::Session>(
        model, runtime::SessionOptions{.arithmetic = settings.arithmetic, .num_threads = num_threads}));
    runtime::Session& session = *sessions.back();
    reads.emplace_back([&] { session.start(prompts, 1); });
    generations.emplace_back([&] {
      session.start({prompts.data(), prompts.size()}, 1);
      for (int64_t i = 0; i < new_tokens; ++i)
        session.advance(std::span(next).subspan(static_cast<size_t>(i * batch), static_cast<size_t>(batch)));
    });
  }
  const std::vector<double> read = fastest_runs(reads, settings.seconds);
  const std::vector<double> both = fastest_runs(generations, settings.seconds);
  std::vector<ModelSpeed> speeds;
  for (size_t i = 0; i < models.size(); ++i) {
    const auto sequences = static_cast<double>(batch);
    const double step_seconds = std::max(both[i] - read[i], 1e-9);
    speeds.push_back({sequences * static_cast<double>(prompt_tokens) / read[i],
                      sequences * static_cast<double>(new_tokens) / step_seconds});
  }
  return speeds;
}

int64_t bytes_a_step(const runtime::LanguageModel& model) {
  int64_t bytes = 0;
  for (const runtime::LayerReport& layer : model.layers()) {
    if (layer.kind != "embedding") bytes += layer.weight_bytes;
  }
  return bytes;
}

}  // namespace quantnoise::tool
