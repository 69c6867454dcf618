#include "lmx/base/checksum.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace lmx {

namespace {

// The constants and steps of https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87;
constexpr std::uint64_t kPrime2 = 0xC2B2AE3D27D4EB4F;
constexpr std::uint64_t kPrime3 = 0x165667B19E3779F9;
constexpr std::uint64_t kPrime4 = 0x85EBCA77C2B2AE63;
constexpr std::uint64_t kPrime5 = 0x27D4EB2F165667C5;
constexpr std::size_t kStripe = 32;

static_assert(std::endian::native == std::endian::little, "the sums are those of little endian");

template <typename Word>
std::uint64_t word_at(const std::byte* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

std::uint64_t mixed(std::uint64_t lane, std::uint64_t word) {
  return std::rotl(lane + word * kPrime2, 31) * kPrime1;
}

std::uint64_t merged(std::uint64_t sum, std::uint64_t lane) {
  return (sum ^ mixed(0, lane)) * kPrime1 + kPrime4;
}

void add_stripe(std::array<std::uint64_t, 4>& lanes, const std::byte* stripe) {
  for (std::size_t i = 0; i < 4; ++i) {
    lanes[i] = mixed(lanes[i], word_at<std::uint64_t>(stripe + 8 * i));
  }
}

}  // namespace

Checksum::Checksum(std::uint64_t seed)
    : seed_(seed), lanes_{seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1} {}

void Checksum::add(std::span<const std::byte> bytes) {
  total_ += bytes.size();
  if (rest_size_ > 0) {
    const std::size_t more = std::min(kStripe - rest_size_, bytes.size());
    std::copy_n(bytes.data(), more, rest_.data() + rest_size_);
    rest_size_ += more;
    bytes = bytes.subspan(more);
    if (rest_size_ < kStripe) return;
    add_stripe(lanes_, rest_.data());
    rest_size_ = 0;
  }
  std::array<std::uint64_t, 4> lanes = lanes_;
  for (; bytes.size() >= kStripe; bytes = bytes.subspan(kStripe)) add_stripe(lanes, bytes.data());
  lanes_ = lanes;
  std::copy_n(bytes.data(), bytes.size(), rest_.data());
  rest_size_ = bytes.size();
}

std::uint64_t Checksum::value() const {
  std::uint64_t sum = seed_ + kPrime5;
  if (total_ >= kStripe) {
    sum = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
          std::rotl(lanes_[3], 18);
    for (std::uint64_t lane : lanes_) sum = merged(sum, lane);
  }
  sum += total_;
  const std::byte* at = rest_.data();
  const std::byte* end = at + rest_size_;
  for (; end - at >= 8; at += 8) {
    sum = std::rotl(sum ^ mixed(0, word_at<std::uint64_t>(at)), 27) * kPrime1 + kPrime4;
  }
  for (; end - at >= 4; at += 4) {
    sum = std::rotl(sum ^ (word_at<std::uint32_t>(at) * kPrime1), 23) * kPrime2 + kPrime3;
  }
  for (; at < end; ++at)
    sum = std::rotl(sum ^ (std::to_integer<std::uint64_t>(*at) * kPrime5), 11) * kPrime1;
  sum = (sum ^ (sum >> 33)) * kPrime2;
  sum = (sum ^ (sum >> 29)) * kPrime3;
  return sum ^ (sum >> 32);
}

std::uint64_t checksum(std::span<const std::byte> bytes, std::uint64_t seed) {
  Checksum sum(seed);
  sum.add(bytes);
  return sum.value();
}

}  // namespace lmx
