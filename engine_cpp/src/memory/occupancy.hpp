// What is on the device while a plan is made: the residents, and the jobs that the plan has let
// start so far.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lmx/memory/planner.hpp"

namespace lmx {

// Bytes of the device and of the host's memory beside it.
struct Room {
  Bytes device = 0;
  Bytes host = 0;

  bool covers(const Room& other) const { return device >= other.device && host >= other.host; }
};

class Occupancy {
 public:
  Occupancy(Capacity capacity, std::vector<Resident> residents)
      : capacity_(capacity), residents_(std::move(residents)) {}

  const Capacity& capacity() const { return capacity_; }
  Bytes free() const { return sub_floor(capacity_.cap, capacity_.used); }
  bool has(const std::string& id) const;
  bool has_open_context(const Job& job) const;

  // What a job still has to reserve, with its model wholly resident.
  Bytes missing(const Job& job) const;

  // Weights that the job uses are not evictable for it, but for `also`, which it would replace.
  bool evictable(const Resident& resident, const Job& job, const std::string& also = {}) const;

  // What the pins and everything that is not a resident leave of the cap once nothing runs.
  Room free_once_idle() const;
  // Whether a pin keeps these weights there even then.
  bool kept_by_pin(const std::string& id) const;

  // What would be free without all that is evictable.
  Room room_after_evictions(const Job& job, const std::string& also) const;

  // Ids to evict so that `needed` is free, contexts before the weights under them; nothing when
  // that much cannot be freed. Cheapest to bring back, per second of idleness, goes first; what a
  // waiting job wants counts as just used. `first` goes in any case.
  std::optional<std::vector<std::string>> evictions_for(const Job& job, const Room& needed,
                                                        const std::set<std::string>& wanted,
                                                        const std::string& first = {}) const;

  void evict(const std::vector<std::string>& ids);

  // Takes a free slot of an open context, or adds a context and the weights that are missing.
  // `model` is how the job's model will occupy the device when it is not there yet.
  void start(const Job& job, const Room& model);

 private:
  using Chosen = std::vector<const Resident*>;

  Resident* open_context(const Job& job);
  const Resident* find(const std::string& id) const;
  bool in_use(const Resident& resident) const;
  Room freed_by(const Chosen& chosen) const;
  std::vector<std::string> with_dependants_first(const Chosen& chosen) const;

  Capacity capacity_;
  std::vector<Resident> residents_;
};

}  // namespace lmx
