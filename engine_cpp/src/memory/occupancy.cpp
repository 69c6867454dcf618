#include "memory/occupancy.hpp"

#include <algorithm>

namespace lmx {
namespace {

bool built_upon(const Resident& context, const std::string& weights) {
  return std::ranges::find(context.upon, weights) != context.upon.end();
}

bool uses(const Job& job, const std::string& id) {
  return std::ranges::find(job.weights, id, &NeededWeights::id) != job.weights.end();
}

void leave(Capacity& capacity, const Resident& resident) {
  capacity.used = sub_floor(capacity.used, resident.bytes);
  capacity.host_used = sub_floor(capacity.host_used, resident.host_bytes);
}

Room free_of(const Capacity& capacity) {
  return {sub_floor(capacity.cap, capacity.used), sub_floor(capacity.host_cap, capacity.host_used)};
}

}  // namespace

const Resident* Occupancy::find(const std::string& id) const {
  const auto found = std::ranges::find(residents_, id, &Resident::id);
  return found == residents_.end() ? nullptr : &*found;
}

bool Occupancy::has(const std::string& id) const {
  return find(id) != nullptr;
}

Resident* Occupancy::open_context(const Job& job) {
  const auto serves = [&](const Resident& resident) {
    return resident.free_slots > 0 && resident.serves == job.context &&
           std::ranges::equal(resident.upon, job.weights, {}, {}, &NeededWeights::id);
  };
  const auto found = std::ranges::find_if(residents_, serves);
  return found == residents_.end() ? nullptr : &*found;
}

bool Occupancy::has_open_context(const Job& job) const {
  return const_cast<Occupancy*>(this)->open_context(job) != nullptr;
}

Bytes Occupancy::missing(const Job& job) const {
  Bytes bytes = job.context_bytes;
  for (const NeededWeights& weights : job.weights) {
    if (!has(weights.id)) bytes = add_saturating(bytes, weights.bytes);
  }
  return bytes;
}

bool Occupancy::in_use(const Resident& resident) const {
  return resident.running || resident.pinned ||
         std::ranges::any_of(residents_, [&](const Resident& other) {
           return built_upon(other, resident.id) && (other.running || other.pinned);
         });
}

bool Occupancy::evictable(const Resident& resident, const Job& job, const std::string& also) const {
  return !in_use(resident) && (resident.id == also || !uses(job, resident.id));
}

bool Occupancy::kept_by_pin(const std::string& id) const {
  return std::ranges::any_of(residents_, [&](const Resident& resident) {
    return resident.pinned && (resident.id == id || built_upon(resident, id));
  });
}

Room Occupancy::free_once_idle() const {
  Capacity left = capacity_;
  for (const Resident& resident : residents_) {
    if (!kept_by_pin(resident.id)) leave(left, resident);
  }
  return free_of(left);
}

Room Occupancy::room_after_evictions(const Job& job, const std::string& also) const {
  Capacity left = capacity_;
  for (const Resident& resident : residents_) {
    if (evictable(resident, job, also)) leave(left, resident);
  }
  return free_of(left);
}

// The bytes that evicting exactly these would free, with all that is built upon them.
Room Occupancy::freed_by(const Chosen& chosen) const {
  Room freed;
  for (const Resident& resident : residents_) {
    const bool goes = std::ranges::any_of(chosen, [&](const Resident* other) {
      return other == &resident || built_upon(resident, other->id);
    });
    if (!goes) continue;
    freed.device = add_saturating(freed.device, resident.bytes);
    freed.host = add_saturating(freed.host, resident.host_bytes);
  }
  return freed;
}

std::optional<std::vector<std::string>> Occupancy::evictions_for(
    const Job& job, const Room& needed, const std::set<std::string>& wanted,
    const std::string& first) const {
  // What must go beside what is over the cap already.
  const Room goal = {sub_floor(add_saturating(capacity_.used, needed.device), capacity_.cap),
                     needed.host == 0 ? 0
                                      : sub_floor(add_saturating(capacity_.host_used, needed.host),
                                                  capacity_.host_cap)};
  Chosen chosen;
  Chosen candidates;
  for (const Resident& resident : residents_) {
    if (!evictable(resident, job, first)) continue;
    (resident.id == first ? chosen : candidates).push_back(&resident);
  }
  const auto worth = [&](const Resident* r) {
    return wanted.contains(r->id) ? r->reload_s : r->reload_s / (1.0 + r->idle_s);
  };
  std::ranges::stable_sort(candidates, {}, worth);
  for (const Resident* candidate : candidates) {
    if (freed_by(chosen).covers(goal)) break;
    chosen.push_back(candidate);
  }
  if (!freed_by(chosen).covers(goal)) return std::nullopt;
  // Whatever turned out not to be needed is kept, dearest first.
  for (const Resident* candidate : Chosen(chosen.rbegin(), chosen.rend())) {
    if (candidate->id == first) continue;
    Chosen fewer = chosen;
    std::erase(fewer, candidate);
    if (freed_by(fewer).covers(goal)) chosen = std::move(fewer);
  }
  return with_dependants_first(chosen);
}

std::vector<std::string> Occupancy::with_dependants_first(const Chosen& chosen) const {
  std::vector<std::string> ids;
  const auto add = [&](const std::string& id) {
    if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  };
  for (const Resident* r : chosen) {
    for (const Resident& other : residents_) {
      if (built_upon(other, r->id)) add(other.id);
    }
    add(r->id);
  }
  return ids;
}

void Occupancy::evict(const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    if (const Resident* gone = find(id)) leave(capacity_, *gone);
    std::erase_if(residents_, [&](const Resident& resident) { return resident.id == id; });
  }
}

void Occupancy::start(const Job& job, const Room& model) {
  if (Resident* context = open_context(job)) {
    context->free_slots -= 1;
    context->running = true;
    return;
  }
  Resident context{.id = job.context + " for " + job.id,
                   .serves = job.context,
                   .bytes = job.context_bytes,
                   .running = true};
  for (const NeededWeights& weights : job.weights) {
    context.upon.push_back(weights.id);
    if (has(weights.id)) continue;
    const bool main = &weights == &job.weights.front();
    const Room taken = main ? model : Room{weights.bytes, 0};
    capacity_.used = add_saturating(capacity_.used, taken.device);
    capacity_.host_used = add_saturating(capacity_.host_used, taken.host);
    residents_.push_back({.id = weights.id, .bytes = taken.device, .host_bytes = taken.host});
  }
  capacity_.used = add_saturating(capacity_.used, job.context_bytes);
  residents_.push_back(std::move(context));
}

}  // namespace lmx
