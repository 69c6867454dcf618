#include "lmx/base/checksum.hpp"

#include <vector>

#include "check.hpp"

using namespace lmx;

namespace {

// 3, 10, 17, ... of this length.
std::vector<std::byte> sample(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 3);
  return bytes;
}

}  // namespace

TEST("checksums are those of the reference implementation of XXH64") {
  CHECK(checksum(sample(0)) == 0xef46db3751d8e999);
  CHECK(checksum(sample(1)) == 0x1f25c8d0bc1f4bb6);
  CHECK(checksum(sample(3)) == 0x31d2363f52e564c9);
  CHECK(checksum(sample(100)) == 0xa61f8d4c170fe531);
  CHECK(checksum(sample(1000)) == 0x5f235fa033f1a3fb);
}

TEST("a checksum in pieces is that of the whole") {
  const std::vector<std::byte> bytes = sample(200);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    Checksum sum(5);
    sum.add(std::span(bytes).first(cut));
    sum.add(std::span(bytes).subspan(cut));
    CHECK(sum.value() == checksum(bytes, 5));
  }
}

TEST("every flipped bit changes the checksum") {
  std::vector<std::byte> bytes = sample(77);
  const std::uint64_t whole = checksum(bytes);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const std::byte mask = std::byte{1} << (bit % 8);
    bytes[bit / 8] ^= mask;
    CHECK(checksum(bytes) != whole);
    bytes[bit / 8] ^= mask;
  }
}
