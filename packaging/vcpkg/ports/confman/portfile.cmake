# An overlay port that builds the tree it lies in:
#   vcpkg install confman --overlay-ports=packaging/vcpkg/ports
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../../.." ABSOLUTE)

if("zstd" IN_LIST FEATURES)
  set(ZSTD ON)
else()
  set(ZSTD OFF)  # not AUTO: what happens to be installed must not decide
endif()

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DCONFMAN_BUILD_TESTS=OFF
    -DCONFMAN_BUILD_EXAMPLES=OFF
    -DCONFMAN_BUILD_BENCHMARKS=OFF
    -DCONFMAN_ZSTD=${ZSTD}
    -DCONFMAN_WARNINGS_AS_ERRORS=OFF)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME confman CONFIG_PATH lib/cmake/confman)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
