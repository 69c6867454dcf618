// A ledger that several threads may use: that of host memory, which is booked by the store of saved
// sequences and its threads and by the streamer of weights.
#pragma once

#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lmx/memory/ledger.hpp"

namespace lmx {

class SharedLedger {
 public:
  explicit SharedLedger(Bytes cap) : ledger_(cap) {}

  std::optional<Denial> reserve(std::span<const Claim> claims) {
    const std::lock_guard lock(mutex_);
    return ledger_.reserve(claims);
  }
  std::optional<Denial> reserve(const Claim& claim) { return reserve(std::span(&claim, 1)); }

  // Gives back a part of what the holder has of this kind.
  void give_back(const std::string& holder, Kind kind, Bytes bytes) {
    const std::lock_guard lock(mutex_);
    ledger_.set(holder, kind, sub_floor(ledger_.held(holder, kind), bytes));
  }
  void set(const std::string& holder, Kind kind, Bytes bytes) {
    const std::lock_guard lock(mutex_);
    ledger_.set(holder, kind, bytes);
  }
  Bytes release(const std::string& holder) {
    const std::lock_guard lock(mutex_);
    return ledger_.release(holder);
  }

  // A copy, for whoever wants several figures of one moment.
  Ledger now() const {
    const std::lock_guard lock(mutex_);
    return ledger_;
  }
  Bytes cap() const {
    const std::lock_guard lock(mutex_);
    return ledger_.cap();
  }
  Bytes free() const {
    const std::lock_guard lock(mutex_);
    return ledger_.free();
  }

 private:
  mutable std::mutex mutex_;
  Ledger ledger_;
};

}  // namespace lmx
