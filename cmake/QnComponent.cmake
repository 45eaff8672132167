# One folder = one component = one target. Sources are found, never listed twice by hand.

# Instruction-set files carry their set in the name; the rest of the program stays at the baseline.
function(qn_set_isa_flags)
  set(x86)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(x86 TRUE)
  endif()
  # g++ 12 warns falsely inside avx512fintrin.h.
  set(quiet)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(quiet ";-Wno-maybe-uninitialized;-Wno-uninitialized")
  endif()
  foreach(source ${ARGN})
    if(NOT x86)
      # The files are empty, and their flags unknown.
    elseif(source MATCHES "_avx2\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
    elseif(source MATCHES "_avx512\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx2;-mfma;-mf16c${quiet}")
    elseif(source MATCHES "_avx512vnni\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx512vnni;-mavx512vbmi;-mavx2;-mfma;-mf16c${quiet}")
    elseif(source MATCHES "_avx512bf16\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx512bf16;-mavx2;-mfma;-mf16c${quiet}")
    endif()
    # Loops throw nothing and call nothing: no unwind tables in what ships. (Debug information has its own.)
    if(source MATCHES "/kernels/.*_(portable|avx2|avx512[a-z0-9]*|neon)\\.cc$")
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS
        "$<$<CONFIG:Release>:-fno-exceptions;-fno-asynchronous-unwind-tables>")
    endif()
    # Every set gives the same bits: no compiler may fuse a product and a sum on its own.
    if(source MATCHES "/(lookup|affine_product)[^/]*\\.cc$")
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS "-ffp-contract=off")
    endif()
  endforeach()
endfunction()

# What carries error messages and JSON rather than loops is compiled for size: qn-run is to stay small.
set(QN_SMALL $<$<CONFIG:Release>:-Os>)

# qn_component(name [TORCH] [DEPS component...] [LIBS library...] [SMALL] [HOT file...]): static library qn_<name> from the
# folder's *.cc. SMALL: for size, apart from the files of HOT.
function(qn_component name)
  cmake_parse_arguments(ARG "TORCH;SMALL" "" "DEPS;LIBS;HOT" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  list(TRANSFORM ARG_DEPS PREPEND qn_)
  if(NOT sources)
    add_library(qn_${name} INTERFACE)
    target_link_libraries(qn_${name} INTERFACE qn_flags ${ARG_DEPS})
    return()
  endif()
  add_library(qn_${name} STATIC ${sources})
  qn_set_isa_flags(${sources})
  target_link_libraries(qn_${name} PUBLIC qn_flags ${ARG_DEPS} PRIVATE ${ARG_LIBS})
  if(ARG_SMALL)
    target_compile_options(qn_${name} PRIVATE ${QN_SMALL})
    list(TRANSFORM ARG_HOT PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/${name}/)
    file(GLOB hot ${ARG_HOT})
    set_source_files_properties(${hot} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O3>)
  endif()
  if(NOT ARG_TORCH)
    # One section a function, so that a program can leave out what it never calls (-Wl,--gc-sections).
    target_compile_options(qn_${name} PRIVATE -ffunction-sections -fdata-sections)
  endif()
  if(ARG_TORCH)
    target_link_libraries(qn_${name} PUBLIC qn_torch)
    target_precompile_headers(qn_${name} REUSE_FROM qn_torch_pch)
  endif()
endfunction()

# qn_test(name [TORCH] [LABELS label...] LIBS library...): the executable test_<name> from tests/<name>/*_test.cc.
function(qn_test name)
  cmake_parse_arguments(ARG "TORCH" "" "LIBS;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  target_link_libraries(test_${name} PRIVATE ${ARG_LIBS} GTest::gtest_main GTest::gmock)
  target_compile_definitions(test_${name} PRIVATE
    QN_SOURCE_DIR="${CMAKE_SOURCE_DIR}" QN_BINARY_DIR="${CMAKE_BINARY_DIR}")
  if(ARG_TORCH)
    qn_use_torch(test_${name})
  endif()
  # Fast tests use one thread; all others use two, and parallel runs of ctest count that.
  set(processors 2)
  if("fast" IN_LIST ARG_LABELS)
    set(processors 1)
  endif()
  include(GoogleTest)
  gtest_discover_tests(test_${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    TEST_PREFIX "${name}." PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 600 PROCESSORS ${processors})
endfunction()
