#include "lmx/memory/foreign.hpp"

#include <algorithm>
#include <map>

namespace lmx {
namespace {

constexpr const char* kUnnamed = "other processes";
constexpr const char* kDriver = "driver and library of this process";

Bytes total(const std::vector<Claim>& claims) {
  Bytes sum = 0;
  for (const Claim& claim : claims) sum = add_saturating(sum, claim.bytes);
  return sum;
}

// Largest first, so that what has ended since the look is taken off the small ones.
std::vector<Outsider> largest_first(std::vector<Outsider> others) {
  std::ranges::stable_sort(others, std::ranges::greater{}, &Outsider::bytes);
  return others;
}

}  // namespace

std::string hold_id(const std::string& name) {
  return "hold: " + name;
}

bool ForeignMemory::book(Ledger& ledger, std::optional<Bytes> in_use) {
  Bytes before = 0;
  for (const std::string& holder : booked_) before += ledger.release(holder);
  booked_.clear();
  const std::vector<Claim> now = measure(ledger, in_use);
  for (const Claim& claim : now) {
    ledger.set(claim.holder, claim.kind, ledger.held(claim.holder, claim.kind) + claim.bytes);
    booked_.push_back(claim.holder);
  }
  return total(now) < before;
}

// The ledger holds no measured entry while this runs: its foreign bytes are holds.
std::vector<Claim> ForeignMemory::measure(const Ledger& ledger, std::optional<Bytes> in_use) const {
  std::vector<Claim> claims;
  const auto add = [&](const std::string& holder, Bytes bytes) {
    if (bytes > 0) claims.push_back({holder, Kind::foreign, bytes});
  };
  const Bytes held = ledger.held(Kind::foreign);
  const Bytes booked = sub_floor(ledger.used(), held);
  const Bytes own = sighting_.own.value_or(booked);
  add(kDriver, sub_floor(own, booked));

  Bytes outside = in_use ? sub_floor(*in_use, own) : kMaxBytes;
  if (!sighting_.others) {
    // Nobody tells whose it is: what is held is taken to be part of it.
    if (in_use) add(kUnnamed, sub_floor(outside, held));
    return claims;
  }
  std::map<std::string, Bytes> covered;
  for (const Outsider& other : largest_first(*sighting_.others)) {
    const Bytes bytes = std::min(other.bytes, outside);
    outside -= bytes;
    const Bytes room = sub_floor(ledger.held(hold_id(other.hold)), covered[other.hold]);
    const Bytes within = other.hold.empty() ? 0 : std::min(bytes, room);
    covered[other.hold] += within;
    add(other.name, bytes - within);
  }
  if (in_use) add(kUnnamed, outside);
  return claims;
}

}  // namespace lmx
