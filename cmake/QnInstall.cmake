# What ships: libquantnoise-runtime, shared (nothing but the C interface is visible) and static, its headers, the CMake
# package and the pkg-config file, all of them in the component `runtime`.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(parts base kernels codec text pack search architecture runtime)
set(objects)
foreach(part ${parts})
  list(APPEND objects $<TARGET_OBJECTS:qn_${part}>)
endforeach()

set(exports ${CMAKE_SOURCE_DIR}/src/core/runtime/exports.map)
add_library(quantnoise_runtime SHARED $<TARGET_OBJECTS:qn_runtime>)
add_library(quantnoise_runtime_static STATIC ${objects})
target_link_libraries(quantnoise_runtime PRIVATE qn_runtime)  # for what it needs in turn
target_link_options(quantnoise_runtime PRIVATE
  -Wl,--version-script=${exports} -Wl,--gc-sections -Wl,--as-needed)
if(NOT QN_SANITIZE)  # whose functions come from the program
  target_link_options(quantnoise_runtime PRIVATE -Wl,--no-undefined)
endif()
set_target_properties(quantnoise_runtime PROPERTIES
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} EXPORT_NAME runtime LINK_DEPENDS ${exports}
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set_target_properties(quantnoise_runtime_static PROPERTIES
  EXPORT_NAME runtime_static ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
target_compile_features(quantnoise_runtime_static INTERFACE cxx_std_20)
target_link_libraries(quantnoise_runtime_static PUBLIC Threads::Threads)
foreach(library quantnoise_runtime quantnoise_runtime_static)
  set_target_properties(${library} PROPERTIES OUTPUT_NAME quantnoise-runtime LINKER_LANGUAGE CXX)
  target_include_directories(${library} INTERFACE
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()

install(TARGETS quantnoise_runtime quantnoise_runtime_static EXPORT quantnoiseRuntimeTargets COMPONENT runtime)
if(TARGET qn-run)
  install(TARGETS qn-run COMPONENT runtime)
endif()
foreach(part ${parts})
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/quantnoise/${part}
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/quantnoise COMPONENT runtime)
endforeach()

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/quantnoise)
install(EXPORT quantnoiseRuntimeTargets NAMESPACE quantnoise:: DESTINATION ${package} COMPONENT runtime)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/quantnoiseConfig.cmake.in
  ${CMAKE_BINARY_DIR}/package/quantnoiseConfig.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package/quantnoiseConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/package/quantnoiseConfig.cmake ${CMAKE_BINARY_DIR}/package/quantnoiseConfigVersion.cmake
  DESTINATION ${package} COMPONENT runtime)

# The installed tree can be moved: the prefix is found from the file's own place.
file(RELATIVE_PATH QN_PREFIX_FROM_PC /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
configure_file(${CMAKE_SOURCE_DIR}/cmake/quantnoise-runtime.pc.in ${CMAKE_BINARY_DIR}/package/quantnoise-runtime.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/package/quantnoise-runtime.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT runtime)
