#include "lmx/memory/planner.hpp"

#include <algorithm>
#include <optional>
#include <ranges>

namespace lmx {
namespace {

// The state that earlier decisions of the same plan leave behind.
class Simulation {
 public:
  Simulation(Capacity capacity, std::vector<Resident> residents)
      : capacity_(capacity), residents_(std::move(residents)) {}

  Decision decide(const Job& job, bool overtaking_allowed);
  bool would_fit_once_idle(const Job& job) const;

 private:
  Resident* find(const std::string& id);
  Resident* open_context(const Job& job);
  bool has_running_dependant(const Resident& weights) const;
  bool evictable(const Resident& resident, const Job& job) const;
  Bytes missing(const Job& job) const;
  Bytes bytes_with_dependants(const Resident& resident) const;
  std::optional<std::vector<std::string>> choose_evictions(const Job& job, Bytes shortage) const;
  std::vector<std::string> with_dependants_first(const std::vector<const Resident*>& chosen) const;
  void evict(const std::vector<std::string>& ids);
  void start(const Job& job);

  Capacity capacity_;
  std::vector<Resident> residents_;
};

Resident* Simulation::find(const std::string& id) {
  const auto found = std::ranges::find(residents_, id, &Resident::id);
  return found == residents_.end() ? nullptr : &*found;
}

Resident* Simulation::open_context(const Job& job) {
  for (Resident& resident : residents_) {
    if (resident.serves == job.context && resident.model == job.model && resident.free_slots > 0) {
      return &resident;
    }
  }
  return nullptr;
}

bool Simulation::has_running_dependant(const Resident& weights) const {
  return std::ranges::any_of(residents_, [&](const Resident& other) {
    return other.model == weights.id && (other.running || other.pinned);
  });
}

bool Simulation::evictable(const Resident& resident, const Job& job) const {
  return !resident.running && !resident.pinned && resident.id != job.model &&
         !has_running_dependant(resident);
}

Bytes Simulation::missing(const Job& job) const {
  const bool resident =
      std::ranges::any_of(residents_, [&](const Resident& other) { return other.id == job.model; });
  return resident ? job.context_bytes : add_saturating(job.weights_bytes, job.context_bytes);
}

Bytes Simulation::bytes_with_dependants(const Resident& resident) const {
  Bytes bytes = resident.bytes;
  for (const Resident& other : residents_) {
    if (other.model == resident.id) bytes = add_saturating(bytes, other.bytes);
  }
  return bytes;
}

// Cheapest to bring back, per second of idleness, goes first; then whatever turned out not to be
// needed is kept, dearest first.
std::optional<std::vector<std::string>> Simulation::choose_evictions(const Job& job,
                                                                     Bytes shortage) const {
  std::vector<const Resident*> candidates;
  for (const Resident& resident : residents_) {
    if (evictable(resident, job)) candidates.push_back(&resident);
  }
  const auto worth = [](const Resident* r) { return r->reload_s / (1.0 + r->idle_s); };
  std::ranges::stable_sort(candidates, {}, worth);

  // The bytes that evicting exactly these would free, each counted once.
  const auto freed_by = [&](const std::vector<const Resident*>& chosen) {
    Bytes freed = 0;
    for (const Resident* r : chosen) {
      const bool goes_with_its_model =
          std::ranges::any_of(chosen, [&](const Resident* other) { return other->id == r->model; });
      if (!goes_with_its_model) freed = add_saturating(freed, bytes_with_dependants(*r));
    }
    return freed;
  };

  std::vector<const Resident*> chosen;
  for (const Resident* candidate : candidates) {
    if (freed_by(chosen) >= shortage) break;
    chosen.push_back(candidate);
  }
  if (freed_by(chosen) < shortage) return std::nullopt;
  for (const Resident* candidate : std::vector(chosen.rbegin(), chosen.rend())) {
    auto fewer = chosen;
    std::erase(fewer, candidate);
    if (freed_by(fewer) >= shortage) chosen = std::move(fewer);
  }
  return with_dependants_first(chosen);
}

std::vector<std::string> Simulation::with_dependants_first(
    const std::vector<const Resident*>& chosen) const {
  std::vector<std::string> ids;
  const auto add = [&](const std::string& id) {
    if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  };
  for (const Resident* r : chosen) {
    for (const Resident& other : residents_) {
      if (other.model == r->id) add(other.id);
    }
    add(r->id);
  }
  return ids;
}

void Simulation::evict(const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    capacity_.used = sub_floor(capacity_.used, find(id)->bytes);
    std::erase_if(residents_, [&](const Resident& resident) { return resident.id == id; });
  }
}

void Simulation::start(const Job& job) {
  if (Resident* context = open_context(job)) {
    context->free_slots -= 1;
    context->running = true;
    return;
  }
  capacity_.used = add_saturating(capacity_.used, missing(job));
  if (find(job.model) == nullptr) {
    residents_.push_back({.id = job.model, .bytes = job.weights_bytes, .running = true});
  }
  residents_.push_back({.id = job.context + " for " + job.id,
                        .model = job.model,
                        .serves = job.context,
                        .bytes = job.context_bytes,
                        .running = true});
}

Decision Simulation::decide(const Job& job, bool overtaking_allowed) {
  Decision decision{.job = job.id,
                    .needs = add_saturating(job.weights_bytes, job.context_bytes),
                    .cap = capacity_.cap,
                    .free = sub_floor(capacity_.cap, capacity_.used)};
  const bool joins = open_context(job) != nullptr;
  decision.missing = joins ? 0 : missing(job);
  if (!joins && decision.needs > capacity_.cap) {
    decision.verdict = Verdict::never;
  } else if (!overtaking_allowed) {
    decision.verdict = Verdict::wait;
  } else if (decision.missing <= decision.free) {
    decision.verdict = Verdict::now;
    start(job);
  } else {
    const Bytes over = sub_floor(capacity_.used, capacity_.cap);
    const Bytes shortage = add_saturating(decision.missing - decision.free, over);
    if (auto evictions = choose_evictions(job, shortage)) {
      decision.verdict = Verdict::after_eviction;
      decision.evict = std::move(*evictions);
      evict(decision.evict);
      start(job);
    }
  }
  return decision;
}

bool Simulation::would_fit_once_idle(const Job& job) const {
  Bytes stays = capacity_.used;
  for (const Resident& resident : residents_) {
    const bool kept_by_pin = resident.pinned || std::ranges::any_of(residents_, [&](const auto& r) {
                               return r.model == resident.id && r.pinned;
                             });
    if (!kept_by_pin && resident.id != job.model) stays = sub_floor(stays, resident.bytes);
  }
  return add_saturating(stays, missing(job)) <= capacity_.cap;
}

}  // namespace

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::now:
      return "now";
    case Verdict::after_eviction:
      return "after_eviction";
    case Verdict::wait:
      return "wait";
    case Verdict::never:
      return "never";
  }
  return "unknown";
}

std::vector<Decision> plan(Capacity capacity, std::vector<Resident> residents,
                           const std::vector<Job>& jobs) {
  Simulation simulation(capacity, std::move(residents));
  std::vector<Decision> decisions;
  bool overtaking_allowed = true;
  for (const Job& job : jobs) {
    const Decision& decision = decisions.emplace_back(simulation.decide(job, overtaking_allowed));
    const bool blocks = decision.verdict == Verdict::wait && job.aged;
    if (blocks && simulation.would_fit_once_idle(job)) overtaking_allowed = false;
  }
  return decisions;
}

}  // namespace lmx
