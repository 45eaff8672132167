#pragma once
// Tables of named factories: a new entry is one line.

#include <string>
#include <utility>
#include <vector>

#include "quantnoise/base/error.h"

namespace quantnoise::train {

template <typename Factory>
struct Registry {
  const char* option;  ///< the option that chooses: "--optimizer"
  std::vector<std::pair<std::string, Factory>> entries;

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : entries) names.push_back(entry.first);
    return names;
  }

  const Factory& find(const std::string& name) const {
    for (const auto& entry : entries) {
      if (entry.first == name) return entry.second;
    }
    throw Error(ErrorKind::kConfig, str_cat("unknown value '", name, "' of ", option),
                str_cat("there are: ", join(names(), ", ")));
  }
};

}  // namespace quantnoise::train
