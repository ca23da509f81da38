# Finds Asio, fmt, cereal and threads. Used by confman's own build and, installed beside
# confmanConfig.cmake, by consumers, so that both look in the same places in the same order.
#
# CONFMAN_ZSTD: AUTO (compressed snapshots if libzstd is found), ON (it must be found) or OFF.
#
# Defines confman::dependencies, an imported interface target that carries Asio, cereal, zstd and threads; fmt
# stays fmt's own targets, because the compiled and the header-only library want different ones.

include_guard(GLOBAL)

set(CONFMAN_ASIO_MINIMUM 102201)  # 1.22.1, as in Debian 12

# Asio has no CMake package of its own: an existing target first, then a package (vcpkg and Conan give
# asio::asio), then plain headers (Debian, Fedora, a checkout named by ASIO_INCLUDE_DIR).
function(_confman_find_asio dependencies scope)
  if(NOT TARGET asio::asio)
    find_package(asio CONFIG QUIET ${scope})
  endif()
  if(TARGET asio::asio)
    target_link_libraries(${dependencies} INTERFACE asio::asio)
    return()
  endif()

  find_path(ASIO_INCLUDE_DIR asio/version.hpp DOC "Directory that holds asio.hpp (standalone Asio)")
  if(NOT ASIO_INCLUDE_DIR)
    message(FATAL_ERROR "confman: standalone Asio was not found. Install it (Debian: libasio-dev), "
                        "or name the directory that holds asio.hpp: -DASIO_INCLUDE_DIR=...")
  endif()
  file(STRINGS "${ASIO_INCLUDE_DIR}/asio/version.hpp" line REGEX "#define ASIO_VERSION [0-9]+")
  string(REGEX MATCH "[0-9]+" found "${line}")
  if(found LESS CONFMAN_ASIO_MINIMUM)
    message(FATAL_ERROR "confman: ${ASIO_INCLUDE_DIR} holds Asio ${found}; "
                        "${CONFMAN_ASIO_MINIMUM} (1.22.1) or newer is needed.")
  endif()
  set_property(TARGET ${dependencies} APPEND PROPERTY INTERFACE_INCLUDE_DIRECTORIES "${ASIO_INCLUDE_DIR}")
endfunction()

function(_confman_find_cereal dependencies scope)
  if(NOT TARGET cereal::cereal AND NOT TARGET cereal)
    find_package(cereal CONFIG QUIET ${scope})
  endif()
  foreach(name cereal::cereal cereal)
    if(TARGET ${name})
      target_link_libraries(${dependencies} INTERFACE ${name})
      return()
    endif()
  endforeach()

  find_path(CEREAL_INCLUDE_DIR cereal/cereal.hpp DOC "Directory that holds cereal/cereal.hpp")
  if(NOT CEREAL_INCLUDE_DIR)
    message(FATAL_ERROR "confman: cereal was not found. Install it (Debian: libcereal-dev), "
                        "or name the directory that holds cereal/cereal.hpp: -DCEREAL_INCLUDE_DIR=...")
  endif()
  set_property(TARGET ${dependencies} APPEND PROPERTY INTERFACE_INCLUDE_DIRECTORIES "${CEREAL_INCLUDE_DIR}")
endfunction()

# zstd is optional. Its headers and library, wherever they came from: Debian, vcpkg and Conan all have both.
# Sets CONFMAN_HAS_ZSTD in the caller.
function(_confman_find_zstd dependencies)
  set(CONFMAN_HAS_ZSTD FALSE PARENT_SCOPE)
  if(CONFMAN_ZSTD STREQUAL "OFF")
    return()
  endif()
  find_path(ZSTD_INCLUDE_DIR zstd.h DOC "Directory that holds zstd.h")
  find_library(ZSTD_LIBRARY NAMES zstd zstd_static DOC "The zstd library")
  if(ZSTD_INCLUDE_DIR AND ZSTD_LIBRARY)
    set_property(TARGET ${dependencies} APPEND PROPERTY INTERFACE_INCLUDE_DIRECTORIES "${ZSTD_INCLUDE_DIR}")
    target_link_libraries(${dependencies} INTERFACE "${ZSTD_LIBRARY}")
    target_compile_definitions(${dependencies} INTERFACE CONFMAN_HAS_ZSTD)
    set(CONFMAN_HAS_ZSTD TRUE PARENT_SCOPE)
  elseif(CONFMAN_ZSTD STREQUAL "ON")
    message(FATAL_ERROR "confman: CONFMAN_ZSTD is ON and libzstd was not found. Install it (Debian: "
                        "libzstd-dev), or name its places: -DZSTD_INCLUDE_DIR=... -DZSTD_LIBRARY=...")
  endif()
endfunction()

# scope: GLOBAL makes the imported targets visible above this directory, as a consumer's add_subdirectory
# needs. A macro around find_package, so that what the packages set stays visible to the caller.
macro(confman_find_dependencies)
  if(NOT TARGET confman::dependencies)
    add_library(confman::dependencies INTERFACE IMPORTED ${ARGN})
    set(THREADS_PREFER_PTHREAD_FLAG ON)
    find_package(Threads REQUIRED ${ARGN})
    if(NOT TARGET fmt::fmt)
      find_package(fmt REQUIRED ${ARGN})
    endif()
    _confman_find_asio(confman::dependencies "${ARGN}")
    _confman_find_cereal(confman::dependencies "${ARGN}")
    _confman_find_zstd(confman::dependencies)
    # Asio 1.22 decides by what was included before it how it allocates; all of a program must decide alike.
    target_compile_definitions(confman::dependencies INTERFACE ASIO_STANDALONE ASIO_HAS_STD_ALIGNED_ALLOC=1)
    target_link_libraries(confman::dependencies INTERFACE Threads::Threads)
  endif()
endmacro()
