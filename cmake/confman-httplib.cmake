# Makes httplib::httplib for the directory that includes this, if cpp-httplib is there.
#
# As Debian ships it, it is a shared library that must be compiled against with the features that it was built
# with, which only its .pc file knows. Else its CMake package, as vcpkg and Conan give it.
if(NOT TARGET httplib::httplib)
  find_package(PkgConfig QUIET)
  if(PKG_CONFIG_FOUND)
    pkg_check_modules(CPP_HTTPLIB QUIET IMPORTED_TARGET cpp-httplib)
  endif()
  if(TARGET PkgConfig::CPP_HTTPLIB)
    add_library(httplib::httplib ALIAS PkgConfig::CPP_HTTPLIB)
  else()
    find_package(httplib CONFIG QUIET)
  endif()
endif()
