# Finds LibTorch: the one pointed to by CMAKE_PREFIX_PATH or Torch_DIR, else the pip package in .venv/.
# (Hints are looked at after what CMAKE_PREFIX_PATH and Torch_DIR, variable or environment, point to.)
file(GLOB QN_VENV_TORCH ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch/share/cmake/Torch)
set(CMAKE_MESSAGE_LOG_LEVEL ERROR)  # it warns of parts the pip package leaves out
find_package(Torch 2.13 CONFIG HINTS ${QN_VENV_TORCH})
unset(CMAKE_MESSAGE_LOG_LEVEL)
if(NOT Torch_FOUND)
  message(FATAL_ERROR "LibTorch 2.13 was not found. Run scripts/setup, point CMAKE_PREFIX_PATH to one, or build the "
    "core wing alone: cmake --preset runtime-only")
endif()
find_package(OpenMP REQUIRED)

# torch/torch.h takes seconds to parse: one precompiled header serves every target of the wing with torch.
# at::parallel_for is header code and serial unless its includer is compiled with OpenMP; given as flags, so that the
# search path names torch's folder alone and the process loads one libgomp: torch's.
add_library(qn_torch INTERFACE)
target_link_libraries(qn_torch INTERFACE qn_flags ${TORCH_LIBRARIES})
target_compile_options(qn_torch INTERFACE ${OpenMP_CXX_FLAGS})
target_link_options(qn_torch INTERFACE ${OpenMP_CXX_FLAGS})
target_include_directories(qn_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})

file(WRITE ${CMAKE_BINARY_DIR}/qn_torch_pch.cc.in "// Owner of the shared precompiled header.\n")
configure_file(${CMAKE_BINARY_DIR}/qn_torch_pch.cc.in ${CMAKE_BINARY_DIR}/qn_torch_pch.cc COPYONLY)
add_library(qn_torch_pch OBJECT ${CMAKE_BINARY_DIR}/qn_torch_pch.cc)
target_link_libraries(qn_torch_pch PUBLIC qn_torch)
target_precompile_headers(qn_torch_pch PUBLIC <torch/torch.h>)

# Links a target with LibTorch through the shared precompiled header. The header is compiled as position-independent code
# (-fPIC); an executable compiled as -fPIE would refuse it silently and parse torch once a file.
function(qn_use_torch target)
  target_link_libraries(${target} PRIVATE qn_torch)
  target_precompile_headers(${target} REUSE_FROM qn_torch_pch)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
endfunction()
