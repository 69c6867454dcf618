#include "lmx/base/bytes.hpp"

#include <array>
#include <cstdio>

namespace lmx {

std::string mib(Bytes bytes) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.1f MiB", static_cast<double>(bytes) / (1024.0 * 1024));
  return text.data();
}

}  // namespace lmx
