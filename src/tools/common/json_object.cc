#include "tools/common/json_object.h"

#include <nlohmann/json.hpp>
#include <type_traits>

namespace quantnoise::tool {

using nlohmann::json;

void JsonField::add_to(json& object) const {
  json& to = object[name_];
  std::visit(
      [&](const auto& value) {
        if constexpr (std::is_pointer_v<std::decay_t<decltype(value)>>) {
          to = *value;
        } else {
          to = value;
        }
      },
      value_);
}

json json_object(std::initializer_list<JsonField> fields) {
  json object = json::object();
  for (const JsonField& field : fields) field.add_to(object);
  return object;
}

std::string json_text(const json& value, int indent) {
  return value.dump(indent, ' ', false, json::error_handler_t::replace);
}

}  // namespace quantnoise::tool
