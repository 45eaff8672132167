# Finds LibTorch: the one pointed to by CMAKE_PREFIX_PATH or Torch_DIR, else the pip package in .venv/.
if(NOT Torch_DIR AND NOT CMAKE_PREFIX_PATH)
  file(GLOB QN_VENV_TORCH ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch/share/cmake/Torch)
  if(QN_VENV_TORCH)
    list(GET QN_VENV_TORCH 0 QN_VENV_TORCH)
    set(Torch_DIR ${QN_VENV_TORCH} CACHE PATH "LibTorch's CMake package")
  endif()
endif()
find_package(Torch 2.13 REQUIRED)
find_package(OpenMP REQUIRED)

# torch/torch.h takes seconds to parse: one precompiled header serves every target of the wing with torch.
# at::parallel_for is header code and serial unless its includer is compiled with OpenMP.
add_library(qn_torch INTERFACE)
target_link_libraries(qn_torch INTERFACE qn_flags ${TORCH_LIBRARIES} OpenMP::OpenMP_CXX)
target_include_directories(qn_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})

file(WRITE ${CMAKE_BINARY_DIR}/qn_torch_pch.cc.in "// Owner of the shared precompiled header.\n")
configure_file(${CMAKE_BINARY_DIR}/qn_torch_pch.cc.in ${CMAKE_BINARY_DIR}/qn_torch_pch.cc COPYONLY)
add_library(qn_torch_pch OBJECT ${CMAKE_BINARY_DIR}/qn_torch_pch.cc)
target_link_libraries(qn_torch_pch PUBLIC qn_torch)
target_precompile_headers(qn_torch_pch PUBLIC <torch/torch.h>)
