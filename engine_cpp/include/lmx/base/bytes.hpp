// Byte counts: 64-bit, never allowed to wrap around, printed in MiB.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace lmx {

using Bytes = std::uint64_t;

inline constexpr Bytes kMaxBytes = std::numeric_limits<Bytes>::max();

// a + b, or the largest value where the sum does not fit into 64 bits.
constexpr Bytes add_saturating(Bytes a, Bytes b) {
  return a > kMaxBytes - b ? kMaxBytes : a + b;
}

// a - b, or 0 where b is larger.
constexpr Bytes sub_floor(Bytes a, Bytes b) {
  return a > b ? a - b : 0;
}

// "96.6 MiB".
std::string mib(Bytes bytes);

}  // namespace lmx
