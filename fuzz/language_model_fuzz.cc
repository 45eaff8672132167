// A language model from the bytes of a file, run when it loads: a text is scored, two tokens are generated,
// by sampling and by beam search. Inputs: model_bytes.h.

#include <cmath>
#include <string>

#include "fuzz_target.h"
#include "model_bytes.h"
#include "quantnoise/runtime/generate.h"
#include "quantnoise/runtime/score.h"

namespace quantnoise {
namespace {

// A small file may hold a model that takes long: a weight may be one centroid, a layer applied a hundred
// times.
constexpr int64_t kMaxElements = 1 << 18;

bool is_small(const pack::ModelFile& file) {
  int64_t elements = 0;
  for (const auto& [name, weight] : file.weights) {
    if (weight.numel() > kMaxElements) return false;
    elements += weight.numel();
  }
  return elements <= kMaxElements;
}

void generate(runtime::Session& session, int beam) {
  search::GenerateOptions options;
  options.max_length = 2;
  options.beam_size = beam;
  const std::string prompt = "w4 w5";
  const auto texts = runtime::generate_text(session, {&prompt, 1}, options).front();
  for (const search::GeneratedText& text : texts)
    fuzz::require(text.text.size() < (1 << 20), "a text of two tokens that is not short");
}

void run(const std::shared_ptr<const runtime::LanguageModel>& model, runtime::Arithmetic arithmetic) {
  runtime::Session session(model, {.arithmetic = arithmetic});
  runtime::ScoredTokens text;
  for (int64_t i = 0; i < 6; ++i) {
    text.source.push_back(i % model->vocab_size());
    text.target.push_back((3 * i + 2) % model->vocab_size());
  }
  session.log_probs({&text, 1});
  generate(session, 0);
  generate(session, 2);
  fuzz::require(session.memory().work >= 0, "less than no memory");
}

void load(const codec::ByteBlock& bytes) {
  pack::ModelFile file = pack::parse_model_file(bytes, "input");
  if (!is_small(file)) return;
  const auto model = runtime::LanguageModel::from_file(std::move(file), "input");
  for (const runtime::LayerReport& layer : model->layers())
    fuzz::require(layer.rows > 0 && layer.cols > 0, "a layer without features");
  run(model, runtime::Arithmetic::kPrecise);
  run(model, runtime::Arithmetic::kFast);
}

}  // namespace
}  // namespace quantnoise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    quantnoise::load(quantnoise::fuzz::file_of_input(data, size));
  } catch (const quantnoise::Error& error) {
    quantnoise::fuzz::require_honest(error);
  }
  return 0;
}
