#include "source_tree.h"

#include <algorithm>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

namespace quantnoise::arch {
namespace {

namespace fs = std::filesystem;

const std::set<std::string>& learn_components() {
  static const std::set<std::string> names = {"quant", "nn", "models", "data", "train"};
  return names;
}

std::string read_text(const fs::path& path) {
  std::ifstream input(path, std::ios::binary);
  std::ostringstream text;
  text << input.rdbuf();
  return text.str();
}

// Blanks the comment or literal that starts at `i`; returns the position behind it, or `i` when none starts
// there.
size_t blank_one(std::string& text, size_t i) {
  const auto blank = [&text](size_t from, size_t to) {
    for (size_t k = from; k < std::min(to, text.size()); ++k) {
      if (text[k] != '\n') text[k] = ' ';
    }
    return std::min(to, text.size());
  };
  const auto find = [&text](const std::string& what, size_t from) { return text.find(what, from); };
  if (text.compare(i, 2, "//") == 0) return blank(i, find("\n", i));
  if (text.compare(i, 2, "/*") == 0) return blank(i, find("*/", i + 2) + 2);
  if (text.compare(i, 2, "R\"") == 0) {
    const size_t open = find("(", i);
    const std::string close = ")" + text.substr(i + 2, open - i - 2) + "\"";
    return blank(i, find(close, open) + close.size());
  }
  // A quote behind a digit or letter separates digits: 1'000.
  const bool separator = text[i] == '\'' && i > 0 && std::isalnum(static_cast<unsigned char>(text[i - 1]));
  if ((text[i] != '"' && text[i] != '\'') || separator) return i;
  size_t end = i + 1;
  while (end < text.size() && text[end] != text[i] && text[end] != '\n') end += text[end] == '\\' ? 2 : 1;
  blank(i + 1, end);
  return end + 1;
}

}  // namespace

std::vector<SourceFile> read_tree(const fs::path& root, const std::vector<std::string>& entries,
                                  const std::vector<std::string>& extensions) {
  std::vector<fs::path> found;
  for (const std::string& entry : entries) {
    if (fs::is_regular_file(root / entry)) found.push_back(root / entry);
    if (!fs::is_directory(root / entry)) continue;
    for (const auto& item : fs::recursive_directory_iterator(root / entry)) {
      if (item.is_regular_file() && item.path().string().find("__pycache__") == std::string::npos) {
        found.push_back(item.path());
      }
    }
  }
  std::sort(found.begin(), found.end());
  std::vector<SourceFile> files;
  for (const fs::path& path : found) {
    const bool wanted = extensions.empty() || std::find(extensions.begin(), extensions.end(),
                                                        path.extension().string()) != extensions.end();
    if (wanted) files.push_back({path.lexically_relative(root).generic_string(), read_text(path)});
  }
  return files;
}

std::vector<Include> includes_of(const SourceFile& file) {
  static const std::regex pattern(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"])re");
  std::vector<Include> result;
  std::istringstream lines(file.text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::smatch match;
    if (std::regex_search(line, match, pattern)) result.push_back({match[2], match[1] == "\"", number});
  }
  return result;
}

std::string code_of(const std::string& text) {
  std::string code = text;
  for (size_t i = 0; i < code.size();) {
    const size_t next = blank_one(code, i);
    i = next == i ? i + 1 : next;
  }
  return code;
}

std::string component_of(const std::string& path) {
  static const std::regex source("^src/((core|learn|tools)/[^/]+)/.*");
  static const std::regex header("^include/(quantnoise/[^/]+/.*)");
  std::smatch match;
  if (std::regex_match(path, match, source)) return match[1];
  if (std::regex_match(path, match, header)) return component_of_include(match[1]);
  return "";
}

std::string component_of_include(const std::string& name) {
  static const std::regex shared("^quantnoise/([^/]+)/.*");
  static const std::regex beside("^((core|learn|tools)/[^/]+)/.*");
  std::smatch match;
  if (std::regex_match(name, match, beside)) return match[1];
  if (!std::regex_match(name, match, shared)) return "";
  return (learn_components().count(match[1]) > 0 ? "learn/" : "core/") + match[1].str();
}

bool starts_with(const std::string& text, const std::string& prefix) { return text.rfind(prefix, 0) == 0; }

bool ends_with(const std::string& text, const std::string& suffix) {
  return text.size() >= suffix.size() &&
         text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}

}  // namespace quantnoise::arch
