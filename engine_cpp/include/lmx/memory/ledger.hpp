// The ledger: who holds how many bytes of one device, under a cap.
//
// Bytes are reserved here before anything is allocated. A pure data structure: it knows nothing of
// devices or models, and it is not thread-safe (the scheduler guards it).
#pragma once

#include <array>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lmx/base/bytes.hpp"

namespace lmx {

enum class Kind { weights, kv, compute, stream_slots, foreign };

inline constexpr std::array kKinds = {Kind::weights, Kind::kv, Kind::compute, Kind::stream_slots,
                                      Kind::foreign};

const char* kind_name(Kind kind);

struct Claim {
  std::string holder;
  Kind kind = Kind::weights;
  Bytes bytes = 0;
};

// Why a reservation was refused. `needs` is what was asked for, in bytes.
struct Denial {
  Bytes needs = 0;
  Bytes cap = 0;
  Bytes free = 0;
};

class Ledger {
 public:
  explicit Ledger(Bytes cap) : cap_(cap) {}

  // Books all the claims or none of them; a claim on an existing holder and kind adds to it.
  std::optional<Denial> reserve(std::span<const Claim> claims);

  // Records a measured fact, even one that goes past the cap: what a driver reports as used by
  // others, or a buffer that grew. Setting 0 removes the entry.
  void set(const std::string& holder, Kind kind, Bytes bytes);

  // Frees everything the holder has; returns how many bytes that was.
  Bytes release(const std::string& holder);

  Bytes cap() const { return cap_; }
  Bytes used() const;
  Bytes free() const { return sub_floor(cap_, used()); }
  Bytes held(const std::string& holder) const;
  Bytes held(const std::string& holder, Kind kind) const;
  Bytes held(Kind kind) const;
  std::vector<Claim> entries() const;

 private:
  Bytes cap_;
  std::map<std::string, std::map<Kind, Bytes>> holders_;
};

}  // namespace lmx
