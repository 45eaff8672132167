// The runtime against torch: the same file, the same text, the same perplexity and the same words.

#include "parity_fixture.h"
#include "quantnoise/runtime/generate.h"
#include "quantnoise/train/generate.h"

namespace quantnoise::parity_test {
namespace {

TEST_F(Parity, EveryArchitecture) {
  for (const auto& [name, options] : architectures()) {
    for (const Compress compress : {keep, product<4, 16>}) {
      const pack::ModelFile file = make_file(options, compress);
      const auto loaded = load_in_torch(file);
      const auto model = runtime::LanguageModel::from_file(file, name);
      const auto windows = windows_of(options, text::BreakMode::kNone, 8);
      expect_same_perplexity(runtime_loss(model, windows), torch_loss(loaded, windows), name);
    }
  }
}

TEST_F(Parity, EveryScheme) {
  for (const auto& [architecture, options] :
       {std::pair{"tied", base_options()}, std::pair{"adaptive", adaptive_options(true, true)}}) {
    for (const auto& [name, compress] : schemes()) {
      const pack::ModelFile file = make_file(options, compress);
      const auto loaded = load_in_torch(file);
      const auto model = runtime::LanguageModel::from_file(file, name);
      const auto windows = windows_of(options, text::BreakMode::kComplete, 0);
      expect_same_perplexity(runtime_loss(model, windows), torch_loss(loaded, windows),
                             str_cat(architecture, " ", name));
    }
  }
}

TEST_F(Parity, EveryWindow) {
  const TransformerLmOptions options = base_options();
  const pack::ModelFile file = make_file(options, product<4, 16>);
  const auto loaded = load_in_torch(file);
  const auto model = runtime::LanguageModel::from_file(file, "windows");
  for (const auto mode : {text::BreakMode::kNone, text::BreakMode::kComplete, text::BreakMode::kCompleteDoc,
                          text::BreakMode::kEos}) {
    for (const int64_t context : {0, 5, 20}) {
      const auto windows = windows_of(options, mode, context);
      expect_same_perplexity(runtime_loss(model, windows), torch_loss(loaded, windows),
                             str_cat(text::break_mode_name(mode), " ", context));
    }
  }
}

TEST_F(Parity, FastTablesStayWithinTheirBound) {
  const TransformerLmOptions options = base_options();
  const pack::ModelFile file = make_file(options, product<4, 16>);
  const auto model = runtime::LanguageModel::from_file(file, "fast");
  const auto windows = windows_of(options, text::BreakMode::kEos, 0);
  const auto loss = [&](runtime::Arithmetic arithmetic, runtime::Method method) {
    return runtime_loss(model, windows, {.arithmetic = arithmetic, .method = method});
  };
  const double decoded = loss(runtime::Arithmetic::kPrecise, runtime::Method::kDecode);
  EXPECT_NEAR(std::exp2(loss(runtime::Arithmetic::kPrecise, runtime::Method::kLookup) - decoded), 1.0, 1e-4);
  EXPECT_NEAR(std::exp2(loss(runtime::Arithmetic::kFast, runtime::Method::kLookup) - decoded), 1.0, 1e-3);
}

TEST_F(Parity, TheSameWordsAreChosen) {
  for (const auto& [name, options] :
       {std::pair{"tied", base_options()}, std::pair{"adaptive", adaptive_options(true, false)}}) {
    const pack::ModelFile file = make_file(options, product<4, 16>);
    const auto loaded = load_in_torch(file);
    runtime::Session session(runtime::LanguageModel::from_file(file, name));
    for (const int beam : {0, 3}) {
      for (const bool greedy : {false, true}) {
        search::GenerateOptions generation;
        generation.max_length = 20;
        generation.num_samples = 2;
        generation.beam_size = beam;
        generation.sampling.greedy = greedy;
        const std::string prompt = "w5 w9 unheard w40";
        const auto expected = train::generate_text(*loaded.model, loaded.dictionary, text::space_tokenizer(),
                                                   prompt, generation, /*stop_at_eos=*/false);
        const auto found = runtime::generate_text(session, {&prompt, 1}, generation, false).front();
        ASSERT_EQ(found.size(), expected.size());
        for (size_t i = 0; i < found.size(); ++i) {
          EXPECT_EQ(found[i].text, expected[i].text) << name << " beam " << beam << " greedy " << greedy;
          EXPECT_NEAR(found[i].log_prob, expected[i].log_prob, 1e-3 * (1 + std::abs(expected[i].log_prob)));
        }
      }
    }
  }
}

}  // namespace
}  // namespace quantnoise::parity_test
