# The packages of the core wing. yaml-cpp is a library, which a cross compiler usually lacks: the configuration reader is
# left out without it (QN_WITH_CONFIG). The others are headers, and taken from the building machine.

# qn_host_headers(target folder header): an interface library for headers of the building machine, through a folder that
# has nothing else: /usr/include itself would bring that machine's C library along.
function(qn_host_headers target folder header)
  find_path(${folder}_PATH ${header} PATHS /usr/include /usr/local/include NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH REQUIRED)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/host_headers)
  file(CREATE_LINK ${${folder}_PATH}/${folder} ${CMAKE_BINARY_DIR}/host_headers/${folder} SYMBOLIC)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/host_headers)
endfunction()

find_package(Threads REQUIRED)
if(CMAKE_CROSSCOMPILING)
  qn_host_headers(nlohmann_json::nlohmann_json nlohmann nlohmann/json.hpp)
else()
  find_package(nlohmann_json 3.11 REQUIRED)
endif()
if(QN_WITH_CONFIG)
  find_package(yaml-cpp 0.7 REQUIRED)
endif()

# GoogleTest: for another processor it is built from Debian's sources (package googletest).
function(qn_find_googletest)
  if(CMAKE_CROSSCOMPILING)
    set(INSTALL_GTEST OFF CACHE INTERNAL "")
    add_subdirectory(/usr/src/googletest ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL SYSTEM)
  else()
    find_package(GTest 1.12 REQUIRED GLOBAL)
  endif()
endfunction()
