#if __has_include(<confman/confman.hpp>)
#include <confman/confman.hpp>
#endif
#include <confman/error.hpp>

const char* category_name() {
  return confman::confman_category().name();
}
