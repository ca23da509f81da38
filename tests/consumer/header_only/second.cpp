// The public face once more: what is not inline would now be defined twice.
#include <confman/confman.hpp>

std::size_t keys_of_a_map_that_never_ran() {
  confman::config_map map{confman::options{}};
  (void)map.start();  // refused: these options name no member
  return map.snapshot().size();
}
