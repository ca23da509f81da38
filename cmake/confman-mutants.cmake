# CONFMAN_MUTANTS builds rules that can be broken on purpose (include/confman/mutants.hpp). Nothing that
# leaves this repository may contain them.

if(CONFMAN_MUTANTS)
  if(NOT PROJECT_IS_TOP_LEVEL)
    message(FATAL_ERROR "CONFMAN_MUTANTS breaks confman on purpose, for its own tests: another project can't "
                        "switch it on. Configure without it.")
  endif()
  if(CONFMAN_INSTALL)
    message(FATAL_ERROR "CONFMAN_MUTANTS breaks confman on purpose: it can't be installed. Configure with "
                        "-DCONFMAN_INSTALL=OFF, or use the preset `mutants`.")
  endif()
  string(TOUPPER "${CMAKE_BUILD_TYPE}" confman_build_type)
  if("${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${confman_build_type}}" MATCHES "NDEBUG")
    message(FATAL_ERROR "CONFMAN_MUTANTS breaks confman on purpose: no release has it, and this build "
                        "(${CMAKE_BUILD_TYPE}) defines NDEBUG. Use the preset `mutants`.")
  endif()
  add_compile_definitions(CONFMAN_MUTANTS)
endif()
