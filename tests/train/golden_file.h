#pragma once
// Values written by the scripts in tests/golden/train.

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace quantnoise::test {

inline nlohmann::json golden_file(const std::string& name) {
  std::ifstream file(std::string(QN_SOURCE_DIR) + "/tests/golden/train/" + name);
  EXPECT_TRUE(file.good()) << name;
  return nlohmann::json::parse(file);
}

/// Sets `target` when the object has the key.
template <typename T>
void read_if(const nlohmann::json& object, const char* key, T& target) {
  const auto found = object.find(key);
  if (found != object.end()) target = found->get<typename std::remove_reference_t<T>>();
}
template <typename T>
void read_if(const nlohmann::json& object, const char* key, std::optional<T>& target) {
  const auto found = object.find(key);
  if (found != object.end()) target = found->template get<T>();
}

}  // namespace quantnoise::test
