// How fresh a read must be.
#pragma once

#include <optional>

#include "confman/core/ids.hpp"
#include "confman/runtime/operation.hpp"

namespace confman {

struct consistency {
  std::optional<read_mode> wait_for;  // nothing: no wait
  version token;                      // for read_mode::applied_version
};

// This node's state as it is: may lag behind, never goes back within one process.
inline constexpr consistency local{std::nullopt, {}};
// After every write that was acknowledged anywhere before the read began.
inline constexpr consistency linearizable{read_mode::read_index, {}};
// After the write that returned this version, on whichever member: read your own writes.
[[nodiscard]] constexpr consistency at_least(version token) noexcept {
  return {read_mode::applied_version, token};
}

}  // namespace confman
