#include "quantnoise/train/model_io.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "quantnoise/base/error.h"
#include "quantnoise/codec/product.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::train {
namespace {

using testing::HasSubstr;

constexpr int64_t kVocabulary = 24;

std::shared_ptr<models::LanguageModel> small_model(int seed) {
  models::TransformerLmOptions options;
  options.vocab_size = kVocabulary;
  options.decoder_embed_dim = options.decoder_input_dim = options.decoder_output_dim = 16;
  options.decoder_ffn_embed_dim = 32;
  options.decoder_layers = 1;
  options.decoder_attention_heads = 2;
  options.share_decoder_input_output_embed = true;
  torch::manual_seed(seed);
  auto model = models::make_transformer_lm(options);
  model->eval();
  return model;
}

text::Dictionary small_dictionary(int64_t size = kVocabulary) {
  text::Dictionary dictionary;
  while (dictionary.size() < size) dictionary.add_symbol(str_cat("w", dictionary.size()));
  return dictionary;
}

at::Tensor logits(models::LanguageModel& model) {
  torch::NoGradGuard no_grad;
  return model.output(model.features(torch::tensor({{2, 5, 9, 13}, {2, 7, 7, 1}})));
}

void quantize(models::LanguageModel& model, const std::string& name) {
  for (const quant::NamedSlot& named : quant::named_slots(model)) {
    if (named.name != name) continue;
    const at::Tensor weight = named.slot->representation().parameter().detach().contiguous();
    codec::KMeansOptions options;
    options.num_centroids = 16;
    const auto matrix =
        codec::quantize_product({weight.const_data_ptr<float>(), static_cast<size_t>(weight.numel())},
                                weight.size(0), weight.size(1), 4, options, base::SerialFor());
    named.slot->exchange(
        quant::make_product(matrix, weight.sizes().vec(), codec::CentroidGradient::kSum, /*zero_row=*/-1));
  }
}

class ModelIo : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("model_io_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_;
};

/// The error of an action, which must throw one.
template <typename Action>
Error error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return Error(ErrorKind::kInternal, "");
}

TEST_F(ModelIo, DenseModelComesBackBitForBit) {
  const auto model = small_model(1);
  pack::write_model_file(path("model.qn"), pack_model(*model, small_dictionary(), "words"));
  const LoadedModel loaded = load_model(path("model.qn"));
  EXPECT_TRUE(torch::equal(logits(*loaded.model), logits(*model)));
  EXPECT_EQ(loaded.dictionary, small_dictionary());
  EXPECT_EQ(loaded.tokenizer, "words");
  EXPECT_FALSE(loaded.model->is_training());
}

TEST_F(ModelIo, QuantizedModelGivesTheSameOutputsAndStoresTheTieOnce) {
  const auto model = small_model(1);
  quantize(*model, "decoder.layers.0.fc1");
  quantize(*model, "decoder.embed_tokens");
  const pack::ModelFile file = pack_model(*model, small_dictionary(), "space");
  EXPECT_EQ(file.weights.at("decoder.embed_tokens.weight").scheme, codec::Scheme::kProduct);
  EXPECT_FALSE(file.weights.contains("decoder.output_projection.weight"));
  EXPECT_EQ(file.ties.at("decoder.output_projection.weight"), "decoder.embed_tokens.weight");
  pack::write_model_file(path("model.qn"), file);
  const LoadedModel loaded = load_model(path("model.qn"));
  EXPECT_TRUE(torch::equal(logits(*loaded.model), logits(*model)));
  for (const quant::NamedSlot& named : quant::named_slots(*loaded.model)) {
    if (named.name == "decoder.layers.0.fc1") {
      EXPECT_EQ(named.slot->representation().scheme(), "pq");
    }
  }
}

TEST_F(ModelIo, RestoreExchangesRepresentationsBothWays) {
  const auto dense = small_model(1);
  const auto quantized = small_model(2);
  quantize(*quantized, "decoder.layers.0.fc2");
  const at::Tensor dense_logits = logits(*dense).clone();
  const at::Tensor quantized_logits = logits(*quantized).clone();
  const pack::ModelFile dense_file = pack_model(*dense, small_dictionary(), "space");
  const pack::ModelFile quantized_file = pack_model(*quantized, small_dictionary(), "space");
  restore_weights(*dense, quantized_file);
  EXPECT_TRUE(torch::equal(logits(*dense), quantized_logits));
  restore_weights(*dense, dense_file);
  EXPECT_TRUE(torch::equal(logits(*dense), dense_logits));
}

TEST_F(ModelIo, WrongContentIsNamedAndLeavesTheModelAsItWas) {
  const auto model = small_model(1);
  const at::Tensor before = logits(*model).clone();
  const pack::ModelFile good = pack_model(*small_model(2), small_dictionary(), "space");
  const auto restoring = [&](auto change) {
    pack::ModelFile file = good;
    change(file);
    const Error error = error_of([&] { restore_weights(*model, file); });
    EXPECT_EQ(error.kind(), ErrorKind::kFormat);
    EXPECT_TRUE(torch::equal(logits(*model), before));
    return std::string(error.what());
  };
  EXPECT_THAT(restoring([](auto& file) { file.weights.erase("decoder.layers.0.fc1.weight"); }),
              HasSubstr("missing: decoder.layers.0.fc1.weight"));
  EXPECT_THAT(restoring([](auto& file) { file.tensors["decoder.surprise"] = file.tensors.begin()->second; }),
              HasSubstr("unknown: decoder.surprise"));
  EXPECT_THAT(restoring([](auto& file) {
                file.weights["decoder.layers.0.fc1.weight"].shape = {16, 32};
              }),
              HasSubstr("decoder.layers.0.fc1.weight: found shape (16, 32), expected (32, 16)"));
  EXPECT_THAT(restoring([](auto& file) { file.ties.clear(); }), HasSubstr("the architecture ties"));
}

TEST_F(ModelIo, TrainingTensorsAreNoneOfItsBusiness) {
  const auto model = small_model(1);
  pack::ModelFile file = pack_model(*model, small_dictionary(), "space");
  file.kind = "checkpoint";
  file.tensors["training.optimizer.step"] = to_raw_tensor(torch::ones({3}));
  pack::write_model_file(path("checkpoint.qn"), file);
  EXPECT_TRUE(torch::equal(logits(*load_model(path("checkpoint.qn")).model), logits(*model)));
}

TEST_F(ModelIo, DictionaryThatDoesNotFitIsRefused) {
  const auto model = small_model(1);
  pack::write_model_file(path("model.qn"), pack_model(*model, small_dictionary(20), "space"));
  const Error error = error_of([&] { load_model(path("model.qn")); });
  EXPECT_EQ(error.kind(), ErrorKind::kData);
  EXPECT_THAT(error.what(), HasSubstr("the dictionary has 20 entries, the model's embedding 24"));
}

TEST_F(ModelIo, UnknownArchitectureOptionsAndTokenizersAreErrorsOfTheFile) {
  const auto model = small_model(1);
  const auto loading = [&](auto change) {
    pack::ModelFile file = pack_model(*model, small_dictionary(), "space");
    change(file);
    pack::write_model_file(path("model.qn"), file);
    const Error error = error_of([&] { load_model(path("model.qn")); });
    EXPECT_EQ(error.kind(), ErrorKind::kFormat) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(path("model.qn")));
    return std::string(error.what());
  };
  loading([](auto& file) { file.architecture = "no_such_architecture"; });
  loading([](auto& file) { file.options_json = R"({"surprise": 1})"; });
  loading([](auto& file) { file.blobs.erase("dictionary"); });
  EXPECT_THAT(loading([](auto& file) { file.blobs["tokenizer"] = codec::ByteBlock::own({std::byte{'x'}}); }),
              HasSubstr("unknown tokenizer 'x'"));
}

TEST_F(ModelIo, ForeignAndTruncatedFilesAreNamed) {
  std::ofstream(path("zip.pt")) << "PK\x03\x04 something";
  EXPECT_THAT(error_of([&] { load_model(path("zip.pt")); }).what(), HasSubstr("PyTorch zip checkpoint"));
  pack::write_model_file(path("model.qn"), pack_model(*small_model(1), small_dictionary(), "space"));
  std::filesystem::resize_file(path("model.qn"), std::filesystem::file_size(path("model.qn")) / 2);
  EXPECT_EQ(error_of([&] { load_model(path("model.qn")); }).kind(), ErrorKind::kFormat);
  EXPECT_EQ(error_of([&] { load_model(path("missing.qn")); }).kind(), ErrorKind::kIo);
}

TEST(RawTensor, RoundTripsEveryType) {
  for (const at::ScalarType type :
       {at::kFloat, at::kHalf, at::kBFloat16, at::kChar, at::kByte, at::kInt, at::kLong}) {
    const at::Tensor tensor = torch::arange(6).view({2, 3}).to(type);
    EXPECT_TRUE(torch::equal(from_raw_tensor(to_raw_tensor(tensor)), tensor));
  }
  EXPECT_EQ(from_raw_tensor(to_raw_tensor(torch::empty({0, 4}))).sizes(), at::IntArrayRef({0, 4}));
}

TEST(RequireSameDictionary, NamesTheFirstDifference) {
  require_same_dictionary(small_dictionary(), small_dictionary(), "data");
  text::Dictionary other = small_dictionary(10);
  EXPECT_THAT(error_of([&] { require_same_dictionary(small_dictionary(), other, "data"); }).what(),
              HasSubstr("found 10 entries, expected 24"));
  other.add_symbol("odd");
  const Error error = error_of([&] { require_same_dictionary(small_dictionary(), other, "data-bin"); });
  EXPECT_EQ(error.kind(), ErrorKind::kData);
  EXPECT_THAT(error.what(), HasSubstr("entry 10 is 'odd', expected 'w10'"));
}

TEST(StoredTaskOptions, AreReadAsText) {
  pack::ModelFile file;
  EXPECT_TRUE(stored_task_options(file).empty());
  file.history_json = R"({"task": {"tokens-per-sample": 64, "sample-break-mode": "none"}})";
  EXPECT_EQ(stored_task_options(file).at("tokens-per-sample"), "64");
  EXPECT_EQ(stored_task_options(file).at("sample-break-mode"), "none");
}

}  // namespace
}  // namespace quantnoise::train
