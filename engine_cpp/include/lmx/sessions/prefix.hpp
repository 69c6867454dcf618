// How much two token sequences have in common, fast enough to ask hundreds of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lmx {

inline constexpr std::size_t kBlockTokens = 32;

// Of each whole block of tokens, a hash of it and of all before it: equal at i means (but for
// collisions) that the first (i + 1) blocks are equal.
std::vector<std::uint64_t> block_hashes(std::span<const std::int32_t> tokens);

// Whole leading blocks that are equal, by bisection.
std::size_t common_blocks(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b);

// Leading tokens that are equal, by looking at them.
std::size_t common_prefix(std::span<const std::int32_t> a, std::span<const std::int32_t> b);

}  // namespace lmx
