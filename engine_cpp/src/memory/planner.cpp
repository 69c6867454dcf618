#include "lmx/memory/planner.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "memory/occupancy.hpp"

namespace lmx {
namespace {

constexpr std::size_t kNobody = std::numeric_limits<std::size_t>::max();

// A job without weights, such as a hold, is of a kind of its own.
const std::string& model_of(const Job& job) {
  return job.weights.empty() ? job.id : job.weights.front().id;
}

// With its model wholly resident and nothing shared.
Bytes whole_needs(const Job& job) {
  Bytes bytes = job.context_bytes;
  for (const NeededWeights& weights : job.weights) bytes = add_saturating(bytes, weights.bytes);
  return bytes;
}

// How many layers reside, and what that takes of the device.
struct Split {
  std::uint32_t layers = 0;
  std::uint32_t slots = 0;
  Bytes bytes = 0;
};

// As many resident layers as `room` holds; nothing when even the fewest do not fit.
std::optional<Split> split_layers(const StreamNeeds& needs, Bytes room) {
  const auto total = static_cast<std::uint32_t>(needs.layer_bytes.size());
  if (total == 0) return std::nullopt;
  std::optional<Split> best;
  Bytes resident = needs.fixed_bytes;
  for (std::uint32_t n = 0; n < total && n <= needs.max_layers; ++n) {
    const std::uint32_t slots = std::min(std::max(needs.slots, 1U), total - n);
    Bytes bytes = resident;
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
      bytes = add_saturating(bytes, needs.slot_bytes);
    }
    if (n >= needs.min_layers && bytes <= room) best = Split{n, slots, bytes};
    resident = add_saturating(resident, needs.layer_bytes[n]);
  }
  return best;
}

// Whether the job could start on an empty device, and in which way.
struct Possible {
  bool whole = false;
  bool streamed = false;
};

Possible possible(const Job& job, const Capacity& capacity) {
  Possible answer;
  answer.whole = whole_needs(job) <= capacity.cap && !(job.stream && job.stream->forced);
  if (job.stream && !job.weights.empty() && job.stream->host_bytes <= capacity.host_cap) {
    Bytes rest = job.context_bytes;
    for (std::size_t i = 1; i < job.weights.size(); ++i) {
      rest = add_saturating(rest, job.weights[i].bytes);
    }
    answer.streamed =
        rest <= capacity.cap && split_layers(*job.stream, capacity.cap - rest).has_value();
  }
  return answer;
}

class Planner {
 public:
  Planner(Capacity capacity, std::vector<Resident> residents, const std::vector<Job>& jobs)
      : state_(capacity, residents), residents_(std::move(residents)), jobs_(jobs) {}

  std::vector<Decision> run();

 private:
  std::vector<std::size_t> turns() const;
  Decision decide(std::size_t index);
  void start_whole(const Job& job, Decision& decision);
  void start_streamed(const Job& job, Decision& decision);
  bool waits_only_for_running_work(const Job& job) const;
  std::set<std::string> wanted_by_others(const Job& job) const;

  Occupancy state_;
  const std::vector<Resident> residents_;
  const std::vector<Job>& jobs_;
  std::set<const Job*> undecided_;
  std::size_t blocked_after_ = kNobody;  // jobs after this one in the list may not overtake it
};

// Groups of one model, each in the order of the list: those with an aged job by the place of the
// first of these, then the resident ones, then the others by the place of their first job.
std::vector<std::size_t> Planner::turns() const {
  struct Group {
    std::size_t aged = kNobody;
    bool absent = true;
    std::vector<std::size_t> members;
  };
  std::vector<Group> groups;
  std::map<std::string, std::size_t> group_of;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    const std::string& model = model_of(jobs_[i]);
    const auto [found, is_new] = group_of.try_emplace(model, groups.size());
    if (is_new) groups.push_back({.absent = !state_.has(model)});
    Group& group = groups[found->second];
    if (jobs_[i].aged) group.aged = std::min(group.aged, i);
    group.members.push_back(i);
  }
  std::ranges::stable_sort(groups, [](const Group& a, const Group& b) {
    if (a.aged != b.aged) return a.aged < b.aged;
    return a.absent < b.absent;
  });
  std::vector<std::size_t> order;
  for (const Group& group : groups) {
    order.insert(order.end(), group.members.begin(), group.members.end());
  }
  return order;
}

std::vector<Decision> Planner::run() {
  for (const Job& job : jobs_) undecided_.insert(&job);
  std::vector<Decision> decisions(jobs_.size());
  std::size_t turn = 0;
  for (const std::size_t index : turns()) {
    const Job& job = jobs_[index];
    undecided_.erase(&job);
    Decision& decision = decisions[index] = decide(index);
    decision.turn = turn++;
    if (decision.verdict == Verdict::wait) {
      undecided_.insert(&job);
      if (job.aged && waits_only_for_running_work(job)) {
        blocked_after_ = std::min(blocked_after_, index);
      }
    }
  }
  return decisions;
}

Decision Planner::decide(std::size_t index) {
  const Job& job = jobs_[index];
  const Capacity& capacity = state_.capacity();
  Decision decision{
      .job = job.id, .needs = whole_needs(job), .cap = capacity.cap, .free = state_.free()};
  const bool joins = state_.has_open_context(job);
  const Possible ways = possible(job, capacity);
  decision.missing = joins ? 0 : state_.missing(job);
  if (!joins && !ways.whole && !ways.streamed) {
    decision.verdict = Verdict::never;
  } else if (index > blocked_after_) {
    decision.verdict = Verdict::wait;
  } else if (joins) {
    decision.verdict = Verdict::now;
    state_.start(job, {});
  } else {
    // A model that is there already, even if streamed, serves one more context.
    if (ways.whole || state_.has(model_of(job))) start_whole(job, decision);
    if (!starts(decision.verdict) && !ways.whole) start_streamed(job, decision);
  }
  return decision;
}

void Planner::start_whole(const Job& job, Decision& decision) {
  if (decision.missing <= decision.free) {
    decision.verdict = Verdict::now;
  } else if (auto evict = state_.evictions_for(job, {decision.missing, 0}, wanted_by_others(job))) {
    decision.verdict = Verdict::after_eviction;
    decision.evict = std::move(*evict);
    state_.evict(decision.evict);
  } else {
    return;
  }
  state_.start(job, {job.weights.empty() ? 0 : job.weights.front().bytes, 0});
}

// With as many layers as the device can hold beside what runs or is pinned: a layer that must be
// streamed costs time with every token, an eviction only once.
void Planner::start_streamed(const Job& job, Decision& decision) {
  const std::string& model = model_of(job);
  const std::string replaced = state_.has(model) ? model : std::string();
  Bytes rest = job.context_bytes;
  for (const NeededWeights& weights : job.weights) {
    if (weights.id != model && !state_.has(weights.id)) rest = add_saturating(rest, weights.bytes);
  }
  const Room room = state_.room_after_evictions(job, replaced);
  const StreamNeeds& needs = *job.stream;
  const auto split = split_layers(needs, sub_floor(room.device, rest));
  if (!split || room.device < rest || room.host < needs.host_bytes) return;
  const Room needed = {add_saturating(split->bytes, rest), needs.host_bytes};
  auto evict = state_.evictions_for(job, needed, wanted_by_others(job), replaced);
  if (!evict || (!replaced.empty() && std::ranges::find(*evict, replaced) == evict->end())) return;
  decision.verdict = Verdict::streamed;
  decision.missing = needed.device;
  decision.resident_layers = split->layers;
  decision.slots = split->slots;
  decision.evict = std::move(*evict);
  state_.evict(decision.evict);
  state_.start(job, {split->bytes, needs.host_bytes});
}

bool Planner::waits_only_for_running_work(const Job& job) const {
  const Room room = state_.free_once_idle();
  Bytes rest = job.context_bytes;
  for (std::size_t i = 1; i < job.weights.size(); ++i) {
    const NeededWeights& weights = job.weights[i];
    if (!state_.kept_by_pin(weights.id)) rest = add_saturating(rest, weights.bytes);
  }
  if (job.weights.empty() || state_.kept_by_pin(job.weights.front().id)) {
    return rest <= room.device;
  }
  if (possible(job, state_.capacity()).whole) {
    return add_saturating(rest, job.weights.front().bytes) <= room.device;
  }
  return rest <= room.device && job.stream->host_bytes <= room.host &&
         split_layers(*job.stream, room.device - rest).has_value();
}

// What is there now and has a job in this plan that has not started.
std::set<std::string> Planner::wanted_by_others(const Job& job) const {
  std::set<std::string> wanted;
  for (const Job* other : undecided_) {
    if (other == &job) continue;
    for (const NeededWeights& weights : other->weights) wanted.insert(weights.id);
    for (const Resident& resident : residents_) {
      if (resident.serves == other->context && !resident.upon.empty() &&
          resident.upon.front() == model_of(*other)) {
        wanted.insert(resident.id);
      }
    }
  }
  return wanted;
}

}  // namespace

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::now:
      return "now";
    case Verdict::after_eviction:
      return "after_eviction";
    case Verdict::streamed:
      return "streamed";
    case Verdict::wait:
      return "wait";
    case Verdict::never:
      return "never";
  }
  return "unknown";
}

std::vector<Decision> plan(Capacity capacity, std::vector<Resident> residents,
                           const std::vector<Job>& jobs) {
  return Planner(capacity, std::move(residents), jobs).run();
}

std::vector<Decision> in_turn(std::vector<Decision> decisions) {
  std::ranges::sort(decisions, {}, &Decision::turn);
  return decisions;
}

}  // namespace lmx
