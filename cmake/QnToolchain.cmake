# Compiler settings shared by every target: ccache where it is installed, warnings, sanitizers.
find_program(QN_CCACHE ccache)
if(QN_CCACHE)
  # The precompiled header is covered too: without these two settings ccache refuses such files.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${QN_CCACHE})
endif()
add_library(qn_flags INTERFACE)
target_compile_options(qn_flags INTERFACE -Wall -Wextra -Wno-unused-parameter)
target_include_directories(qn_flags INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
if(QN_SANITIZE)
  add_compile_options(-fsanitize=${QN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${QN_SANITIZE})
endif()
