// Every scheme and kind of noise x linear, embedding, tied embedding: trained, evaluated, saved, loaded, gone
// on with.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "../base/temporary_folder.h"
#include "learn/train/checkpoint.h"
#include "quantnoise/codec/product.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/quant/context.h"
#include "quantnoise/quant/scalar.h"
#include "quantnoise/train/model_io.h"
#include "quantnoise/train/trainer.h"

namespace quantnoise::test {
namespace {

constexpr int64_t kVocabulary = 32;
constexpr int64_t kUpdates = 6;

struct Scheme {
  const char* name;
  quant::NoiseKind kind = quant::NoiseKind::kNone;
  double blocks = 0;    ///< rate of noise on blocks
  int bits = 0;         ///< of an int-N grid; 0: none
  double elements = 0;  ///< rate of noise on elements
  bool by_rows = false;
  bool product = false;
  codec::ScalarType centroid_type = codec::ScalarType::kF16;
};

const Scheme kSchemes[] = {
    {"Dense"},
    {"Pq", quant::NoiseKind::kPq, 0.3},
    {"PqExact", quant::NoiseKind::kPqExact, 0.5},
    {"PqExactAll", quant::NoiseKind::kPqExact, 1},
    {"Mean", quant::NoiseKind::kMean, 0.3},
    {"Int8", quant::NoiseKind::kNone, 0, 8, 0.5},
    {"Int8All", quant::NoiseKind::kNone, 0, 8, 1},
    {"Int8WithoutNoise", quant::NoiseKind::kNone, 0, 8, 0},
    {"Int4ByRows", quant::NoiseKind::kNone, 0, 4, 0.5, true},
    {"Int2", quant::NoiseKind::kNone, 0, 2, 0.5},
    {"PqAndInt8", quant::NoiseKind::kPq, 0.3, 8, 0.5},
    {"PqExactAndInt8", quant::NoiseKind::kPqExact, 0.5, 8, 0.5},
    {"MeanAndInt4", quant::NoiseKind::kMean, 0.3, 4, 0.5},
    {"Codes", quant::NoiseKind::kNone, 0, 0, 0, false, true},
    {"CodesInt8", quant::NoiseKind::kNone, 0, 0, 0, false, true, codec::ScalarType::kI8},
    {"CodesInt8Noise", quant::NoiseKind::kNone, 0, 0, 0.5, false, true, codec::ScalarType::kI8},
};

enum class Layer { kLinear, kEmbedding, kTiedEmbedding };

using Case = std::tuple<Scheme, Layer>;

std::shared_ptr<models::LanguageModel> make_model(bool tied) {
  models::TransformerLmOptions options;
  options.vocab_size = kVocabulary;
  options.decoder_embed_dim = options.decoder_input_dim = options.decoder_output_dim = 16;
  options.decoder_ffn_embed_dim = 32;
  options.decoder_layers = 1;
  options.decoder_attention_heads = 2;
  options.share_decoder_input_output_embed = tied;
  torch::manual_seed(5);
  return models::make_transformer_lm(options);
}

data::Batch make_batch(int64_t seed) {
  torch::manual_seed(seed);
  data::Batch batch;
  const at::Tensor text = torch::randint(4, kVocabulary, {4, 9}, at::kLong);
  batch.tokens = text.slice(1, 0, 8).contiguous();
  batch.target = text.slice(1, 1).contiguous();
  batch.lengths.assign(4, 8);
  batch.start_indices.assign(4, 0);
  batch.num_tokens = 32;
  batch.num_sentences = 4;
  return batch;
}

void use_product_codes(quant::WeightSlot& slot, codec::ScalarType centroid_type) {
  const quant::Representation& old = slot.representation();
  const at::Tensor weight = old.parameter().detach().contiguous();
  codec::KMeansOptions options;
  options.num_centroids = 16;
  const auto matrix =
      codec::quantize_product({weight.const_data_ptr<float>(), static_cast<size_t>(weight.numel())},
                              weight.size(0), weight.size(1), 4, options, base::SerialFor());
  slot.exchange(quant::make_product(matrix, weight.sizes().vec(), codec::CentroidGradient::kSum,
                                    old.zero_row(), centroid_type));
}

class SchemeTable : public testing::TestWithParam<Case> {
 protected:
  const Scheme& scheme() const { return std::get<Scheme>(GetParam()); }
  bool tied() const { return std::get<Layer>(GetParam()) == Layer::kTiedEmbedding; }
  std::string layer() const {
    return std::get<Layer>(GetParam()) == Layer::kLinear ? "decoder.layers.0.fc1" : "decoder.embed_tokens";
  }

  std::shared_ptr<quant::WeightSlot> slot(models::LanguageModel& model) const {
    for (const quant::NamedSlot& named : quant::named_slots(model)) {
      if (named.name == layer()) return named.slot;
    }
    return nullptr;
  }

  /// What a run's options do to a model, new or restored.
  void set_up(models::LanguageModel& model, bool restored) const {
    if (scheme().product && !restored) use_product_codes(*slot(model), scheme().centroid_type);
    if (scheme().bits > 0) {
      quant::ScalarOptions options;
      options.bits = scheme().bits;
      options.observer = scheme().by_rows ? codec::Observer::kChannel : codec::Observer::kHistogram;
      options.update_step = 3;
      quant::quantize_scalar(model, quant::plan_scalar(model, options, quant::LayerFilter("", layer(), "")));
    }
    quant::NoiseOptions noise;
    noise.kind = scheme().kind;
    noise.probability = scheme().blocks;
    noise.block_size = 4;
    noise.num_centroids = 8;
    noise.refresh_interval = 4;
    noise.scalar_probability = scheme().elements;
    slot(model)->set_noise(noise);
  }

  std::string path(const std::string& name) const { return folder_.file(name); }

 private:
  TemporaryFolder folder_;
};

struct TinyRun {
  explicit TinyRun(std::shared_ptr<models::LanguageModel> trained) : model(std::move(trained)) {
    auto optimizer = train::make_optimizer("adamw", {});
    optimizer->bind(quant::unique_parameters(*model));
    train::LrSchedulerOptions schedule;
    schedule.lr = {0.01};
    trainer = std::make_unique<train::Trainer>(
        model, train::make_criterion("cross_entropy", {}), std::move(optimizer),
        train::make_lr_scheduler("fixed", schedule), train::TrainerOptions{});
  }
  void go_to(int64_t update) {
    const std::vector<data::Batch> batches = {make_batch(1), make_batch(2)};
    while (trainer->num_updates() < update) trainer->update(batches);
  }
  at::Tensor evaluated() const {
    const torch::NoGradGuard no_grad;
    model->eval();
    return model->output(model->features(make_batch(3).tokens));
  }

  std::shared_ptr<models::LanguageModel> model;
  std::unique_ptr<train::Trainer> trainer;
};

text::Dictionary dictionary() {
  text::Dictionary dictionary;
  while (dictionary.size() < kVocabulary) dictionary.add_symbol(str_cat("w", dictionary.size()));
  return dictionary;
}

TEST_P(SchemeTable, TrainsEvaluatesSavesLoadsAndGoesOn) {
  TinyRun run(make_model(tied()));
  set_up(*run.model, /*restored=*/false);
  run.trainer->optimizer().bind(quant::unique_parameters(*run.model));
  const at::Tensor before = slot(*run.model)->representation().parameter().detach().clone();

  // Train: the trainable tensor moves, and stays finite; noise is seen in training alone.
  run.go_to(kUpdates);
  const at::Tensor parameter = slot(*run.model)->representation().parameter();
  EXPECT_FALSE(torch::equal(parameter, before));
  EXPECT_TRUE(parameter.isfinite().all().item<bool>());

  // Evaluate: twice the same, and what the file holds.
  const at::Tensor evaluated = run.evaluated();
  EXPECT_TRUE(torch::equal(run.evaluated(), evaluated));
  const codec::PackedWeight packed = slot(*run.model)->representation().pack();
  EXPECT_EQ(packed.stored_bytes(), slot(*run.model)->representation().stored_bytes());
  const std::vector<float> stored = codec::unpack_to_float(packed);
  EXPECT_TRUE(torch::equal(slot(*run.model)->value(false, at::kFloat),
                           torch::tensor(stored).view(slot(*run.model)->representation().shape())));

  // Save and load.
  pack::ModelFile file = train::pack_model(*run.model, dictionary(), "words");
  pack::write_model_file(path("model.qn"), file);
  const train::LoadedModel loaded = train::load_model(path("model.qn"));
  EXPECT_TRUE(torch::equal(TinyRun(loaded.model).evaluated(), evaluated));
  EXPECT_EQ(slot(*loaded.model)->representation().scheme(), slot(*run.model)->representation().scheme());
  EXPECT_EQ(quant::named_slots(*loaded.model)[0].aliases.size(), tied() ? 1U : 0U);

  // Resume: as if the run had not been interrupted.
  train::TrainingState state;
  state.num_updates = kUpdates;
  train::add_training_state(file, *run.model, &run.trainer->optimizer(), state);
  pack::write_model_file(path("checkpoint.qn"), file);
  const pack::ModelFile checkpoint = pack::read_model_file(path("checkpoint.qn"));
  TinyRun resumed(make_model(tied()));
  train::restore_weights(*resumed.model, checkpoint);
  set_up(*resumed.model, /*restored=*/true);
  resumed.trainer->optimizer().bind(quant::unique_parameters(*resumed.model));
  train::load_slot_state(*resumed.model, checkpoint);
  train::load_optimizer_state(resumed.trainer->optimizer(), checkpoint, kUpdates);
  resumed.trainer->set_num_updates(kUpdates);
  EXPECT_TRUE(torch::equal(resumed.evaluated(), evaluated));
  run.go_to(2 * kUpdates);
  resumed.go_to(2 * kUpdates);
  EXPECT_TRUE(torch::equal(slot(*resumed.model)->representation().parameter(),
                           slot(*run.model)->representation().parameter()));
  EXPECT_TRUE(torch::equal(resumed.evaluated(), run.evaluated()));
}

TEST_P(SchemeTable, StoredWeightIsBitIdenticalAfterAHundredNoisyPasses) {
  const auto model = make_model(tied());
  set_up(*model, /*restored=*/false);
  const at::Tensor before = slot(*model)->representation().parameter().detach().clone();
  const data::Batch batch = make_batch(1);
  model->train();
  for (uint64_t update = 0; update < 100; ++update) {
    quant::set_noise_clock({1, update, 0});
    model->nll_sum(model->features(batch.tokens), batch.target).backward();
  }
  EXPECT_TRUE(torch::equal(slot(*model)->representation().parameter(), before));
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  const char* const layers[] = {"Linear", "Embedding", "TiedEmbedding"};
  return str_cat(std::get<Scheme>(info.param).name, "_",
                 layers[static_cast<int>(std::get<Layer>(info.param))]);
}

INSTANTIATE_TEST_SUITE_P(All, SchemeTable,
                         testing::Combine(testing::ValuesIn(kSchemes),
                                          testing::Values(Layer::kLinear, Layer::kEmbedding,
                                                          Layer::kTiedEmbedding)),
                         case_name);

}  // namespace
}  // namespace quantnoise::test
