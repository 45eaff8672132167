# Compiler settings shared by every target: ccache where it is installed, warnings, sanitizers.
find_program(QN_CCACHE ccache)
if(QN_CCACHE)
  # The precompiled header is covered too: ccache refuses such files without the sloppiness and g++'s -fpch-preprocess.
  # Paths below the base folder are hashed relative, so that another clone hits the same entries.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${QN_CCACHE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-fpch-preprocess)
  endif()
endif()
add_library(qn_flags INTERFACE)
target_compile_options(qn_flags INTERFACE -Wall -Wextra -Wno-unused-parameter)
target_include_directories(qn_flags INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
if(QN_SANITIZE)
  add_compile_options(-fsanitize=${QN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${QN_SANITIZE})
endif()
if(QN_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "QN_FUZZ needs clang (libFuzzer), found ${CMAKE_CXX_COMPILER_ID}: use the preset `fuzz`")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
