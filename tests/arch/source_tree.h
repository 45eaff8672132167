#pragma once
// The source tree as the rules of the house see it: files, their text, what they include.

#include <filesystem>
#include <string>
#include <vector>

namespace quantnoise::arch {

struct SourceFile {
  std::string path;  ///< from the root of the repository: src/core/base/file.cc
  std::string text;
};

struct Include {
  std::string name;
  bool quoted = false;  ///< "x.h" (ours), otherwise <x> (the system's)
  int line = 0;
};

/// The files below the named folders and the named files (from `root`) whose extension is listed; an empty
/// list: all.
std::vector<SourceFile> read_tree(const std::filesystem::path& root, const std::vector<std::string>& entries,
                                  const std::vector<std::string>& extensions);

std::vector<Include> includes_of(const SourceFile& file);

/// The text with comments and the insides of literals blanked; lines stay where they are.
std::string code_of(const std::string& text);

/// `core/base` for src/core/base/file.cc and include/quantnoise/base/file.h; "tools/qn" for src/tools/qn/…;
/// empty for others.
std::string component_of(const std::string& path);

/// The component an include of ours reaches into; empty when its first folders are none of ours.
std::string component_of_include(const std::string& name);

bool starts_with(const std::string& text, const std::string& prefix);
bool ends_with(const std::string& text, const std::string& suffix);

}  // namespace quantnoise::arch
