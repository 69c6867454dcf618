// The part of the scheduler that makes running requests give way to those that have waited long.
#include <algorithm>

#include "lmx/base/errors.hpp"
#include "lmx/running/scheduler.hpp"

namespace lmx {
namespace {

constexpr auto kLook = std::chrono::milliseconds(50);  // between two looks at who has waited

bool slow_reader(const Slot& slot, Clock::time_point now, double patience_s) {
  return slot.generation->request->throttled() && seconds_between(slot.last_used, now) > patience_s;
}

}  // namespace

// Whether waiting requests are to be looked at although nothing has ended: they age.
bool Scheduler::time_to_look() {
  const auto now = Clock::now();
  if (!anybody_waits() || now < next_look_) return false;
  next_look_ = now + kLook;
  return true;
}

// Whether the request in the slot has had its quantum: long beside what it costs to bring it back,
// with `reload_s` for what else must be brought back. It also has to come further than the last
// time: what was lost meanwhile would else be computed again and again.
bool Scheduler::may_be_suspended(const Context& context, const Slot& slot, double reload_s) const {
  const auto now = Clock::now();
  if (slow_reader(slot, now, options_.patience_s)) return true;
  if (slot.n_past <= slot.generation->reached) return false;
  const Bytes per_token = ledger_.held(context.id(), Kind::kv) /
                          (std::uint64_t{context.spec().n_ctx} * context.spec().n_seq);
  const Bytes bytes = per_token * slot.n_past;
  const Ledger host = host_->now();
  const bool has_room = bytes <= sub_floor(host.cap(), host.held(Kind::weights));
  const double cost_s =
      has_room ? 2 * sessions_.seconds_for(bytes) : context.prefill_s(slot.n_past);
  return seconds_between(slot.generation->began, now) >=
         quantum_s(options_.quantum_s, cost_s, reload_s);
}

// What would reside if those who may be suspended were.
std::vector<Resident> Scheduler::residents_but_preemptible() const {
  std::vector<Resident> all = residents();
  for (const auto& context : contexts_) {
    const auto resident = std::ranges::find(all, context->id(), &Resident::id);
    const double reload_s = context->model().load_s + context->build_s();
    bool evictable = true;
    std::uint32_t staying = 0;
    for (const Slot& slot : context->slots()) {
      if (!slot.running()) continue;
      evictable = evictable && may_be_suspended(*context, slot, reload_s);
      if (!may_be_suspended(*context, slot, 0)) staying += 1;
    }
    resident->running = !evictable;
    resident->free_slots = context->spec().n_seq - staying;
  }
  return all;
}

// Suspends what stands in the way of the first request that has waited too long for it. True when
// that was done: it can start now.
bool Scheduler::make_way(Lock& lock) {
  if (loading_) return false;  // it is what somebody waits for, or will be in the way of it soon
  const std::vector<Job> jobs = queued_jobs();
  const std::vector<Decision> now = plan(capacity(), residents(), jobs);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const bool is_request = !jobs[i].weights.empty();
    if (!jobs[i].aged || !is_request || now[i].verdict != Verdict::wait) continue;
    const std::vector<Resident> relaxed = residents_but_preemptible();
    const Decision decision = plan(capacity(), relaxed, {jobs[i]}).front();
    if (!starts(decision.verdict)) continue;
    return suspend_for(decision, jobs[i], lock);
  }
  return false;
}

bool Scheduler::suspend_for(const Decision& decision, const Job& job, Lock& lock) {
  const std::string reason = "request " + job.id + " has waited long enough";
  bool any = false;
  for (const auto& context : contexts_) {
    if (context->active() == 0) continue;
    const bool goes = std::ranges::find(decision.evict, context->id()) != decision.evict.end();
    const bool shares = decision.missing == 0 && context->free_slots() == 0 &&
                        context->model().id == job.weights.front().id &&
                        context_key(context->spec()) == job.context;
    if (goes) {
      any = true;
      for (std::uint32_t i = 0; i < context->slots().size(); ++i) {
        if (context->slots()[i].running()) suspend(*context, i, reason, lock);
      }
    } else if (shares) {
      any = true;
      suspend(*context, longest_running(*context), reason, lock);
      break;
    }
  }
  return any;
}

std::uint32_t Scheduler::longest_running(const Context& context) const {
  std::uint32_t longest = 0;
  auto began = Clock::time_point::max();
  for (std::uint32_t i = 0; i < context.slots().size(); ++i) {
    const Slot& slot = context.slots()[i];
    if (!slot.running() || !may_be_suspended(context, slot, 0)) continue;
    const bool slow = slot.generation->request->throttled();
    const auto since = slow ? Clock::time_point::min() : slot.generation->began;
    if (since >= began) continue;
    longest = i;
    began = since;
  }
  return longest;
}

// Its age begins anew, so that it comes behind those who wait already.
void Scheduler::suspend(Context& context, std::uint32_t slot, const std::string& reason,
                        Lock& lock) {
  lock.unlock();
  Sessions::Suspended suspended = sessions_.suspend(context, slot, reason);
  lock.lock();
  note_moves();
  const std::shared_ptr<Request> request = suspended.generation->request;
  note("suspend", "request " + std::to_string(request->spec().id), 0, reason);
  totals_.suspensions += 1;
  queue_again({.request = request,
               .generation = std::move(suspended.generation),
               .since = Clock::now(),
               .saved = suspended.saved,
               .looked_up = true});
}

}  // namespace lmx
