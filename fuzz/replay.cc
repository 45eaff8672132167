// A fuzz target without libFuzzer: runs every file of the folders, and mutations of each that are the same at
// every run.
//   <name>_fuzz [--mutations N] FOLDER...

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "fuzz_target.h"
#include "quantnoise/base/file.h"
#include "quantnoise/base/random.h"

namespace {

namespace fs = std::filesystem;
using quantnoise::base::SequentialRandom;

std::vector<std::string> inputs_of(const std::vector<std::string>& folders) {
  std::vector<fs::path> paths;
  for (const std::string& folder : folders) {
    for (const auto& item : fs::recursive_directory_iterator(folder)) {
      if (item.is_regular_file()) paths.push_back(item.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const fs::path& path : paths) inputs.push_back(quantnoise::base::read_text_file(path.string()));
  return inputs;
}

size_t place(SequentialRandom& random, const std::string& bytes) { return random.below(bytes.size() + 1); }

void mutate_once(std::string& bytes, const std::vector<std::string>& others, SequentialRandom& random) {
  static const std::string kPieces[] = {"-1", "0", "1e999", "18446744073709551615", "\"",
                                        "{",  "]", "\xff",  std::string(8, '\xff'), std::string(4, '\0')};
  const size_t at = place(random, bytes);
  switch (random.below(6)) {
    case 0:  // one bit
      if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
      break;
    case 1:  // one byte
      if (at < bytes.size()) bytes[at] = static_cast<char>(random.below(256));
      break;
    case 2:  // a cut
      bytes.erase(at, random.below(16));
      break;
    case 3:  // the end
      if (random.below(8) == 0) bytes.resize(at);
      break;
    case 4:  // a piece
      bytes.insert(at, kPieces[random.below(std::size(kPieces))]);
      break;
    default: {  // part of another input
      const std::string& other = others[random.below(others.size())];
      const size_t from = place(random, other);
      bytes.replace(at, random.below(32), other, from, random.below(32));
    }
  }
}

void run(const std::string& bytes) {
  // Memory of its own: sanitizers see a read beyond it.
  const std::vector<uint8_t> input(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> folders(argv + 1, argv + argc);
  size_t num_mutations = 0;
  if (folders.size() >= 2 && folders[0] == "--mutations") {
    num_mutations = std::strtoul(folders[1].c_str(), nullptr, 10);
    folders.erase(folders.begin(), folders.begin() + 2);
  }
  const std::vector<std::string> inputs = inputs_of(folders);
  if (inputs.empty()) {
    std::fprintf(stderr, "%s: no inputs; usage: [--mutations N] FOLDER...\n", argv[0]);
    return 2;
  }
  SequentialRandom random(1);
  for (const std::string& input : inputs) {
    run(input);
    for (size_t i = 0; i < num_mutations; ++i) {
      std::string mutant = input;
      for (uint64_t step = 0; step < 1 + i % 4; ++step) mutate_once(mutant, inputs, random);
      run(mutant);
    }
  }
  std::printf("%zu inputs, %zu mutations each: no complaints\n", inputs.size(), num_mutations);
  return 0;
}
