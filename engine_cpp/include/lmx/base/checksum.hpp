// XXH64: a checksum at memory speed, in pieces. It guards against damage, not against malice.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lmx {

class Checksum {
 public:
  explicit Checksum(std::uint64_t seed = 0);

  void add(std::span<const std::byte> bytes);

  // Of all that was added so far.
  std::uint64_t value() const;

 private:
  std::uint64_t seed_;
  std::array<std::uint64_t, 4> lanes_;
  std::array<std::byte, 32> rest_{};  // what does not fill a stripe yet
  std::size_t rest_size_ = 0;
  std::uint64_t total_ = 0;
};

std::uint64_t checksum(std::span<const std::byte> bytes, std::uint64_t seed = 0);

}  // namespace lmx
