// What others have taken of a device: one rule for what the driver, the list of processes and the
// holds each tell, so that no byte counts twice.
//
//   outside = in use (the driver) - in use by this process
//
// The driver's number is the truth; a list of processes only gives names to parts of it. What runs
// under a hold is booked by that hold already and counts only where it goes beyond it. Pure: knows
// of no driver.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lmx/memory/ledger.hpp"

namespace lmx {

// A process other than this one. `hold`: the name of the hold that it runs under, or empty.
struct Outsider {
  std::string name;
  Bytes bytes = 0;
  std::string hold;
};

// What a look at the processes of a device found; what could not be told is empty.
struct Sighting {
  std::optional<Bytes> own;  // of this process, buffers of the library and of the driver included
  std::optional<std::vector<Outsider>> others;
};

// The holder in the ledger of bytes that are held for something outside of this engine.
std::string hold_id(const std::string& name);

// Keeps the measured entries of a ledger in line with what is known.
class ForeignMemory {
 public:
  void see(Sighting sighting) { sighting_ = std::move(sighting); }

  // Books, as Kind::foreign, what others take; `in_use` is what the driver says now, none where no
  // driver can tell (then the processes are believed). True when it is less than before, so that
  // something may fit now that did not.
  bool book(Ledger& ledger, std::optional<Bytes> in_use);

 private:
  std::vector<Claim> measure(const Ledger& ledger, std::optional<Bytes> in_use) const;

  Sighting sighting_;
  std::vector<std::string> booked_;
};

}  // namespace lmx
