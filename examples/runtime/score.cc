// The perplexity of a text under a model file, through the C++ interface.
//   score FILE TEXT
#include <quantnoise/base/error.h>
#include <quantnoise/runtime/score.h>

#include <cstdio>
#include <memory>

namespace qn = quantnoise;

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s FILE TEXT\n", argv[0]);
    return 2;
  }
  try {
    const auto model = qn::runtime::LanguageModel::open(argv[1]);
    qn::runtime::Session session(model);
    const auto result = qn::runtime::score(session, qn::runtime::encode_text(*model, argv[2]),
                                           qn::runtime::score_options(*model));
    std::printf("%lld tokens, perplexity %.4f\n", static_cast<long long>(result.sum.num_tokens),
                result.sum.perplexity());
  } catch (const qn::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return qn::exit_code(error.kind());
  }
  return 0;
}
