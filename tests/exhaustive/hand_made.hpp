// Steps made by hand that each break one property, and the same steps in order.
#pragma once

namespace confman::exhaustive {

// Whether each property refuses what it must, and nothing else; prints the ones that don't.
[[nodiscard]] bool properties_can_fail();

}  // namespace confman::exhaustive
