# How confman builds its own targets. Nothing here reaches a consumer: no flag is PUBLIC or INTERFACE.

if(CONFMAN_CCACHE)
  find_program(CONFMAN_CCACHE_PROGRAM ccache)
  if(CONFMAN_CCACHE_PROGRAM)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CONFMAN_CCACHE_PROGRAM}")
  endif()
endif()

if(CONFMAN_SANITIZE)
  add_compile_options(-fsanitize=${CONFMAN_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CONFMAN_SANITIZE})
  if(CONFMAN_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=all)
  endif()
  if(CONFMAN_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # gcc warns that it does not instrument the fences in Asio 1.22.
    add_compile_options(-Wno-tsan)
  endif()
endif()

# Warnings for a target of this project. In a consumer's build the library compiles with the consumer's own
# flags.
function(confman_own_target target)
  if(PROJECT_IS_TOP_LEVEL AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
    if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
      # In clang -Wconversion includes it, in gcc not.
      target_compile_options(${target} PRIVATE -Wno-sign-conversion)
    endif()
    if(CONFMAN_WARNINGS_AS_ERRORS)
      target_compile_options(${target} PRIVATE -Werror)
    endif()
  endif()
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()

# RapidJSON is optional, and no header but confman/check/history_file.hpp needs it: the copy that comes with
# upstream cereal, or the package. Sets CONFMAN_HAS_RAPIDJSON and RAPIDJSON_INCLUDE_DIR in the caller.
function(confman_find_rapidjson)
  set(CONFMAN_HAS_RAPIDJSON FALSE PARENT_SCOPE)
  if(CONFMAN_RAPIDJSON STREQUAL "OFF")
    return()
  endif()
  find_path(RAPIDJSON_INCLUDE_DIR NAMES rapidjson/document.h cereal/external/rapidjson/document.h
            DOC "Directory that holds rapidjson/document.h")
  if(RAPIDJSON_INCLUDE_DIR)
    set(CONFMAN_HAS_RAPIDJSON TRUE PARENT_SCOPE)
  elseif(CONFMAN_RAPIDJSON STREQUAL "ON")
    message(FATAL_ERROR "confman: CONFMAN_RAPIDJSON is ON and RapidJSON was not found. Install it (Debian: "
                        "rapidjson-dev), or name its place: -DRAPIDJSON_INCLUDE_DIR=...")
  else()
    message(STATUS "confman: without RapidJSON, so confman::check reads no files; confman_check is left out")
  endif()
endfunction()
