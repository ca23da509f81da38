// The target FUZZ_NAME behind libFuzzer's entry point.
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const fuzz::target& t : fuzz::targets())
    if (std::string_view(t.name) == FUZZ_NAME) t.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
