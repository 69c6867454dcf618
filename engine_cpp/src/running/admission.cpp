// The part of the scheduler that lets waiting requests start: it carries out what the planner says.
#include <algorithm>
#include <set>

#include "lmx/base/errors.hpp"
#include "lmx/llama/heap.hpp"
#include "lmx/running/scheduler.hpp"

namespace lmx {
namespace {

std::string file_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

void Scheduler::admit(Lock& lock) {
  refresh_foreign();
  while (!closing_ && carry_out(plan(capacity(), residents(), queued_jobs()), lock)) {
  }
}

// Carries a plan out to its end, because its order is that of the whole queue: the requests of one
// model together. False when nothing has started; then nothing will until something changes.
bool Scheduler::carry_out(std::vector<Decision> decisions, Lock& lock) {
  bool any = false;
  for (const Decision& decision : in_turn(std::move(decisions))) {
    if (decision.verdict == Verdict::wait || closing_) continue;
    if (grant(decision, lock)) {
      any = true;
      continue;
    }
    const auto found = std::ranges::find(queue_, decision.job, [](const Waiting& waiting) {
      return std::to_string(waiting.spec().id);
    });
    if (found == queue_.end()) continue;
    if (loading_ && starts(decision.verdict) && !open_context(*found)) continue;
    Waiting waiting = std::move(*found);
    queue_.erase(found);
    if (decision.verdict == Verdict::never) {
      waiting.request->fail(std::make_exception_ptr(
          NeverFits(waiting.spec().model_id, {decision.needs, decision.cap, decision.free})));
      any = true;
      continue;
    }
    const std::shared_ptr<Request> request = waiting.request;
    start(std::move(waiting), decision, lock);
    const Phase phase = request->progress().phase;
    // Put back: somebody took the room since the plan was made, so that the rest of it is void.
    if (phase == Phase::queued || phase == Phase::suspended) return any;
    any = true;
  }
  return any;
}

void Scheduler::start(Waiting waiting, const Decision& decision, Lock& lock) {
  const RequestSpec& spec = waiting.spec();
  if (Context* context = open_context(waiting)) {
    place(std::move(waiting), *context, lock);
    return;
  }
  if (!evict(decision, "request " + decision.job + " on " + file_name(spec.model_id), lock)) {
    queue_again(std::move(waiting));
    return;
  }
  waiting.request->enter(Phase::loading);
  build(std::move(waiting), decision, lock);
}

// At the place that its age gives it.
void Scheduler::queue_again(Waiting waiting) {
  const auto later = std::ranges::find_if(
      queue_, [&](const Waiting& other) { return other.since > waiting.since; });
  queue_.insert(later, std::move(waiting));
}

// Makes the room that the decision asks for. What is parked in a context is saved before it goes.
// False when something runs there after all: a request went elsewhere than the plan supposed.
bool Scheduler::evict(const Decision& decision, const std::string& for_what, Lock& lock) {
  const std::string reason = "to make room for " + for_what + " (needs " + mib(decision.missing) +
                             " more, " + mib(decision.free) + " free)";
  const bool is_hold = for_what == decision.job;
  for (const std::string& id : decision.evict) {
    if (!let_go(id, reason, lock)) return false;
    totals_.evictions_for_holds += is_hold ? 1 : 0;
  }
  if (options_.device.is_cpu) return_freed_memory();
  note_moves();
  return true;
}

// A context or a model. False when something runs there.
bool Scheduler::let_go(const std::string& id, const std::string& reason, Lock& lock) {
  const auto found = std::ranges::find(contexts_, id, [](const auto& c) { return c->id(); });
  if (found == contexts_.end() && models_.references(id) > 0) return false;
  if (found != contexts_.end()) {
    if ((*found)->active() > 0) return false;
    lock.unlock();
    sessions_.put_away_all(**found, reason);
    lock.lock();
    used_s_.erase(found->get());
    contexts_.erase(found);
  }
  models_.evict(id);
  host_->release(id);
  note("evict", id, ledger_.release(id), reason);
  totals_.evictions += 1;
  return true;
}

void Scheduler::refresh_foreign() {
  foreign_.book(ledger_, options_.device.in_use());
}

// Books the bytes of the hold that the decision is about; false when it is about none.
bool Scheduler::grant(const Decision& decision, Lock& lock) {
  const auto find_wanted = [&] {
    return std::ranges::find(wanted_holds_, decision.job,
                             [](const WantedHold& hold) { return hold_id(hold.holder); });
  };
  if (find_wanted() == wanted_holds_.end()) return false;
  if (!evict(decision, decision.job, lock)) return false;
  const auto wanted = find_wanted();  // it may have been withdrawn meanwhile
  if (wanted == wanted_holds_.end()) return false;
  const Claim claim{decision.job, Kind::foreign, wanted->bytes};
  if (ledger_.reserve({&claim, 1})) return false;
  note("hold", decision.job, claim.bytes,
       "after " + std::to_string(seconds_between(wanted->since, Clock::now())) + " s");
  wanted_holds_.erase(wanted);
  return true;
}

std::vector<Resident> Scheduler::residents() const {
  const auto now = Clock::now();
  std::vector<Resident> all;
  for (const auto& [id, model] : models_.all()) {
    all.push_back({.id = id,
                   .bytes = ledger_.held(id),
                   .host_bytes = model->streamer ? model->streamer->plan().host_bytes : 0,
                   .pinned = models_.pinned(*model),
                   .idle_s = seconds_between(model->last_used, now),
                   .reload_s = model->load_s});
  }
  for (const auto& context : contexts_) {
    all.push_back({.id = context->id(),
                   .upon = {context->model().id},
                   .serves = context_key(context->spec()),
                   .bytes = ledger_.held(context->id()),
                   .running = context->active() > 0,
                   .idle_s = seconds_between(context->last_used(), now),
                   .reload_s = context->build_s(),
                   .free_slots = context->free_slots()});
  }
  if (loading_) {
    const RequestSpec& spec = loading_->waiting.spec();
    if (!loading_->reused) {
      all.push_back({.id = spec.model_id, .bytes = ledger_.held(spec.model_id), .running = true});
    }
    all.push_back({.id = loading_->id,
                   .upon = {spec.model_id},
                   .serves = context_key(spec.context),
                   .bytes = ledger_.held(loading_->id),
                   .running = true,
                   .free_slots = loading_->build.n_seq - 1});
  }
  return all;
}

// What sessions keep in host memory gives way to weights; see streamed_builds().
Capacity Scheduler::capacity() const {
  const Ledger host = host_->now();
  return {ledger_.cap(), ledger_.used(), host.cap(), host.held(Kind::weights)};
}

// In order of arrival, the holds that wait among them.
std::vector<Job> Scheduler::queued_jobs() const {
  const auto now = Clock::now();
  const auto aged = [&](Clock::time_point since) {
    return seconds_between(since, now) > options_.patience_s;
  };
  std::vector<Job> jobs;
  auto hold = wanted_holds_.begin();
  const auto add_holds_before = [&](Clock::time_point time) {
    for (; hold != wanted_holds_.end() && hold->since < time; ++hold) {
      jobs.push_back(
          {.id = hold_id(hold->holder), .context_bytes = hold->bytes, .aged = aged(hold->since)});
    }
  };
  for (const Waiting& waiting : queue_) {
    if (waiting.fetching_until > now || waiting.request->throttled()) continue;
    const RequestSpec& spec = waiting.spec();
    add_holds_before(waiting.since);
    jobs.push_back({.id = std::to_string(spec.id),
                    .weights = {{spec.model_id, spec.needs.weights}},
                    .context = context_key(spec.context),
                    .context_bytes = spec.needs.context(),
                    .aged = aged(waiting.since),
                    .stream = spec.stream});
  }
  add_holds_before(Clock::time_point::max());
  return jobs;
}

}  // namespace lmx
