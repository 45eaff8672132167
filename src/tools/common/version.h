#pragma once

namespace quantnoise::tool {

/// The project's version; a test compares it with CMakeLists.txt.
inline constexpr const char* kVersion = "0.1.0";

}  // namespace quantnoise::tool
