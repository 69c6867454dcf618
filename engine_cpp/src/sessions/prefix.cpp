#include "lmx/sessions/prefix.hpp"

#include <algorithm>

#include "lmx/base/checksum.hpp"

namespace lmx {

std::vector<std::uint64_t> block_hashes(std::span<const std::int32_t> tokens) {
  std::vector<std::uint64_t> hashes;
  hashes.reserve(tokens.size() / kBlockTokens);
  std::uint64_t before = 0;
  for (; tokens.size() >= kBlockTokens; tokens = tokens.subspan(kBlockTokens)) {
    before = checksum(std::as_bytes(tokens.first(kBlockTokens)), before);
    hashes.push_back(before);
  }
  return hashes;
}

std::size_t common_blocks(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) {
  std::size_t equal = 0;
  std::size_t unknown = std::min(a.size(), b.size());  // none beyond is equal
  while (equal < unknown) {
    const std::size_t middle = equal + (unknown - equal) / 2;
    if (a[middle] == b[middle]) {
      equal = middle + 1;
    } else {
      unknown = middle;
    }
  }
  return equal;
}

std::size_t common_prefix(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  const std::size_t both = std::min(a.size(), b.size());
  const auto differ =
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(both), b.begin());
  return static_cast<std::size_t>(differ.first - a.begin());
}

}  // namespace lmx
