#include "rules.h"

#include <algorithm>
#include <functional>
#include <regex>
#include <sstream>

namespace quantnoise::arch {
namespace {

using Arrows = std::map<std::string, std::set<std::string>>;

std::string place(const SourceFile& file, int line) { return file.path + ":" + std::to_string(line) + ": "; }

// Direct arrows, as drawn in docs/architecture.md. `learn/quant` reads the quantization configuration
// (core/config): see
// docs/decisions/0001-dependencies-and-build.md.
Arrows direct_arrows() {
  return {{"core/base", {}},
          {"core/kernels", {"core/base"}},
          {"core/codec", {"core/kernels"}},
          {"core/pack", {"core/codec"}},
          {"core/text", {"core/base"}},
          {"core/search", {"core/text"}},
          {"core/foreign", {"core/base"}},
          {"core/config", {"core/base"}},
          {"core/architecture", {"core/base"}},
          {"core/runtime", {"core/pack", "core/text", "core/search", "core/architecture"}},
          {"learn/quant", {"core/codec", "core/config"}},
          {"learn/nn", {"learn/quant"}},
          {"learn/models", {"learn/nn", "core/architecture"}},
          {"learn/data", {"core/text"}},
          {"learn/train", {"learn/models", "learn/data", "core/pack", "core/search", "core/config"}},
          {"tools/common", {"core/runtime", "core/config"}},
          {"tools/qn-run", {"tools/common"}},
          {"tools/qn", {"tools/common", "learn/train", "core/foreign"}}};
}

Arrows close_transitively(const Arrows& direct) {
  Arrows closed;
  for (const auto& [name, ignored] : direct) {
    std::set<std::string>& reached = closed[name];
    std::vector<std::string> open = {name};
    while (!open.empty()) {
      const std::string next = open.back();
      open.pop_back();
      if (reached.insert(next).second)
        open.insert(open.end(), direct.at(next).begin(), direct.at(next).end());
    }
  }
  return closed;
}

// Calls `report(file, line number, line)` for every line of the code in which the pattern is found.
void for_each_match(const SourceFile& file, const std::string& text, const std::regex& pattern,
                    const std::function<void(int, const std::string&)>& report) {
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::smatch match;
    if (std::regex_search(line, match, pattern)) report(number, match[0]);
  }
}

bool is_header(const SourceFile& file) { return ends_with(file.path, ".h"); }

/// The files by the name under which they are included.
std::map<std::string, const SourceFile*> by_include_name(const std::vector<SourceFile>& files) {
  std::map<std::string, const SourceFile*> names;
  for (const SourceFile& file : files) {
    if (starts_with(file.path, "include/")) names[file.path.substr(8)] = &file;
    if (starts_with(file.path, "src/")) names[file.path.substr(4)] = &file;
  }
  return names;
}

/// Calls `visit(includer, include)` for every system header that the file reaches through headers of ours.
void for_each_system_include(const SourceFile& file, const std::map<std::string, const SourceFile*>& names,
                             const std::function<void(const SourceFile&, const Include&)>& visit) {
  std::set<std::string> seen;
  std::vector<const SourceFile*> open = {&file};
  while (!open.empty()) {
    const SourceFile* next = open.back();
    open.pop_back();
    for (const Include& include : includes_of(*next)) {
      if (!seen.insert(include.name).second) continue;
      if (!include.quoted) visit(*next, include);
      const auto ours = names.find(include.name);
      if (include.quoted && ours != names.end()) open.push_back(ours->second);
    }
  }
}

}  // namespace

const Arrows& allowed_components() {
  static const Arrows allowed = close_transitively(direct_arrows());
  return allowed;
}

Violations arrow_violations(const std::vector<SourceFile>& files) {
  Violations violations;
  for (const SourceFile& file : files) {
    const std::string own = component_of(file.path);
    const auto arrows = allowed_components().find(own);
    if (arrows == allowed_components().end()) {
      violations.push_back(file.path + ": belongs to no component of the house (" + own + ")");
      continue;
    }
    for (const Include& include : includes_of(file)) {
      if (!include.quoted) continue;
      const std::string other = component_of_include(include.name);
      if (other.empty()) {
        violations.push_back(place(file, include.line) + include.name +
                             " is not written from include/ or src/");
      } else if (arrows->second.count(other) == 0) {
        violations.push_back(place(file, include.line) + own + " must not include " + include.name);
      } else if (other != own && other != "tools/common" && !starts_with(include.name, "quantnoise/")) {
        violations.push_back(place(file, include.line) + include.name + " is private to " + other);
      } else if (starts_with(file.path, "include/") && !starts_with(include.name, "quantnoise/")) {
        violations.push_back(place(file, include.line) + "a public header includes the private " +
                             include.name);
      }
    }
  }
  return violations;
}

Violations dependency_violations(const std::vector<SourceFile>& files) {
  static const std::regex torch("^(torch|ATen|c10|caffe2)/");
  Violations violations;
  for (const SourceFile& file : files) {
    const std::string own = component_of(file.path);
    const bool torch_is_ours = starts_with(own, "learn/") || own == "tools/qn";
    for (const Include& include : includes_of(file)) {
      const auto refuse = [&](const std::string& why) {
        violations.push_back(place(file, include.line) + include.name + " " + why);
      };
      if (!torch_is_ours && std::regex_search(include.name, torch)) refuse("in the wing without torch");
      if (starts_with(include.name, "nlohmann/") && is_header(file) && !starts_with(own, "tools/") &&
          starts_with(file.path, "include/")) {
        refuse("in a public header: JSON is private to .cc files");
      }
      if (starts_with(include.name, "yaml-cpp/") && own != "core/config") refuse("outside core/config");
      if (starts_with(include.name, "gtest/") || starts_with(include.name, "gmock/"))
        refuse("outside the tests");
    }
  }
  return violations;
}

Violations output_violations(const std::vector<SourceFile>& files) {
  static const std::regex forbidden(
      R"((^|[^\w.>:]|std::|[^\w]::)(abort|exit|_exit|_Exit|quick_exit|terminate|printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror)\s*\(|\bstd::(cerr|cout|clog)\b)");
  Violations violations;
  for (const SourceFile& file : files) {
    if (starts_with(component_of(file.path), "tools/")) continue;
    for_each_match(file, code_of(file.text), forbidden, [&](int line, const std::string& found) {
      violations.push_back(place(file, line) + "'" + found +
                           "' in a library: throw quantnoise::Error or call base::log");
    });
  }
  return violations;
}

Violations isa_violations(const std::vector<SourceFile>& files) {
  static const std::regex isa_file("^src/core/kernels/.*_(avx2|avx512|avx512vnni|avx512bf16|neon)\\.cc$");
  static const std::set<std::string> plain = {"cstdint", "cstddef", "cstring",     "climits",
                                              "cfloat",  "math.h",  "immintrin.h", "arm_neon.h"};
  const auto names = by_include_name(files);
  Violations violations;
  for (const SourceFile& file : files) {
    if (!std::regex_match(file.path, isa_file)) continue;
    for_each_system_include(file, names, [&](const SourceFile& includer, const Include& include) {
      if (plain.count(include.name) > 0) return;
      violations.push_back(file.path + ": reaches <" + include.name + "> through " +
                           place(includer, include.line));
    });
  }
  return violations;
}

Violations torch_header_violations(const std::vector<SourceFile>& files) {
  static const std::regex use(R"(\b(torch|at|c10)::|\bTORCH_)");
  static const std::regex torch("^(torch|ATen|c10)/");
  const auto names = by_include_name(files);
  Violations violations;
  for (const SourceFile& file : files) {
    if (!is_header(file) || !std::regex_search(code_of(file.text), use)) continue;
    bool reached = false;
    for_each_system_include(file, names, [&](const SourceFile&, const Include& include) {
      reached = reached || std::regex_search(include.name, torch);
    });
    if (!reached)
      violations.push_back(file.path + ": uses torch and includes it neither itself nor through a header");
  }
  return violations;
}

Violations length_violations(const std::vector<SourceFile>& files, int limit) {
  Violations violations;
  for (const SourceFile& file : files) {
    const auto lines = std::count(file.text.begin(), file.text.end(), '\n');
    if (lines > limit) {
      violations.push_back(file.path + ": " + std::to_string(lines) + " lines, at most " +
                           std::to_string(limit));
    }
  }
  return violations;
}

Violations text_violations(const std::vector<SourceFile>& files, const std::vector<std::string>& patterns) {
  Violations violations;
  for (const std::string& pattern : patterns) {
    const std::regex expression(pattern);
    for (const SourceFile& file : files) {
      for_each_match(file, file.text, expression, [&](int line, const std::string& found) {
        violations.push_back(place(file, line) + "'" + found + "'");
      });
    }
  }
  return violations;
}

}  // namespace quantnoise::arch
