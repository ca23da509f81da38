# Installs the libraries, the headers, a CMake package and a pkg-config file.

include(CMakePackageConfigHelpers)

set(confman_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/confman")

install(TARGETS confman confman_header_only EXPORT confmanTargets)
if(CONFMAN_SIM)
  install(TARGETS confman_simulator EXPORT confmanTargets)
endif()
if(CONFMAN_CHECK)
  install(TARGETS confman_checker EXPORT confmanTargets)
endif()
install(DIRECTORY include/confman DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.ipp")
install(EXPORT confmanTargets NAMESPACE confman:: DESTINATION "${confman_package_dir}")

if(CONFMAN_HAS_ZSTD)
  set(confman_built_with_zstd ON)
  set(confman_pc_zstd " -lzstd")
else()
  set(confman_built_with_zstd OFF)
  set(confman_pc_zstd "")
endif()

configure_package_config_file(cmake/confmanConfig.cmake.in confmanConfig.cmake
                              INSTALL_DESTINATION "${confman_package_dir}")
# Before 1.0 a minor version may break its callers.
write_basic_package_version_file(confmanConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/confmanConfig.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/confmanConfigVersion.cmake"
              cmake/confman-dependencies.cmake
        DESTINATION "${confman_package_dir}")

# The prefix is found from where the .pc file lies, so that an installed tree can be moved.
file(RELATIVE_PATH confman_pc_prefix "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
configure_file(cmake/confman.pc.in confman.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/confman.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
