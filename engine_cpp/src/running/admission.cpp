// The part of the scheduler that lets waiting requests start: it carries out what the planner says.
#include <algorithm>
#include <set>

#include "lmx/base/errors.hpp"
#include "lmx/running/scheduler.hpp"

namespace lmx {
namespace {

constexpr Bytes kSmallCache = Bytes{512} << 20;

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
  build(std::move(waiting), lock);
}

// Makes a context with as many slots as are asked for, or as many of them as fit.
void Scheduler::build(Waiting waiting, Lock& lock) {
  const std::shared_ptr<Request> request = waiting.request;
  const RequestSpec& spec = request->spec();
  const std::uint32_t wanted = 1 + waiting_for_same_context(spec);
  const Bytes weights = models_.find(spec.model_id) ? 0 : spec.needs.weights;
  const Bytes free_now = sub_floor(ledger_.free(), weights);
  lock.unlock();
  std::vector<std::pair<std::uint32_t, Footprint>> choices;
  std::exception_ptr error;
  try {
    choices = slot_choices(spec, wanted, free_now);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  if (error) {
    request->fail(error);
    return;
  }
  for (const auto& [n_seq, needs] : choices) {
    if (reserve_and_build(waiting, n_seq, needs, lock)) return;
  }
  request->enter(waiting.generation ? Phase::suspended : Phase::queued);
  queue_again(std::move(waiting));
}

// At the place that its age gives it.
void Scheduler::queue_again(Waiting waiting) {
  const auto later = std::ranges::find_if(
      queue_, [&](const Waiting& other) { return other.since > waiting.since; });
  queue_.insert(later, std::move(waiting));
}

std::uint32_t Scheduler::waiting_for_same_context(const RequestSpec& spec) const {
  return static_cast<std::uint32_t>(std::ranges::count_if(queue_, [&](const Waiting& other) {
    return other.spec().model_id == spec.model_id && other.spec().context == spec.context;
  }));
}

// Numbers of slots with their needs, best first. More than are waiting for one, so that later
// requests can join without a context of their own, as long as the cache stays small beside what
// is free and beside the weights.
std::vector<std::pair<std::uint32_t, Footprint>> Scheduler::slot_choices(const RequestSpec& spec,
                                                                         std::uint32_t waiting,
                                                                         Bytes free) const {
  const auto needs_of = [&](std::uint32_t n_seq) {
    ContextSpec context = spec.context;
    context.n_seq = n_seq;
    return estimator_->estimate(spec.model, context);
  };
  std::vector<std::pair<std::uint32_t, Footprint>> choices;
  std::uint32_t n_seq = std::min(waiting, options_.max_slots);
  const Bytes generous = std::min(free / 4, std::max(spec.needs.weights, kSmallCache));
  for (std::uint32_t more = options_.max_slots; more > n_seq; more /= 2) {
    if (more * spec.needs.kv > generous) continue;
    choices.emplace_back(more, needs_of(more));
    break;
  }
  for (; n_seq > 1; n_seq /= 2) choices.emplace_back(n_seq, needs_of(n_seq));
  choices.emplace_back(1, spec.needs);
  return choices;
}

// False when the bytes are not there. True when the request has started, or has failed for good.
bool Scheduler::reserve_and_build(Waiting& waiting, std::uint32_t n_seq, const Footprint& needs,
                                  Lock& lock) {
  const std::shared_ptr<Request> request = waiting.request;
  const RequestSpec& spec = request->spec();
  std::shared_ptr<ResidentModel> model = models_.find(spec.model_id);
  const std::string id = "context " + std::to_string(contexts_made_ + 1);
  std::vector<Claim> claims = {{id, Kind::kv, needs.kv}, {id, Kind::compute, needs.compute}};
  if (!model) claims.push_back({spec.model_id, Kind::weights, needs.weights});
  if (ledger_.reserve(claims)) return false;
  contexts_made_ += 1;

  const bool load = !model;
  ContextSpec context_spec = spec.context;
  context_spec.n_seq = n_seq;
  std::unique_ptr<Context> context;
  std::exception_ptr error;
  lock.unlock();
  try {
    if (load) {
      model = ModelStore::load(spec.model_id, spec.model->identity(), options_.device,
                               [&] { return !closing_ && !request->cancelled(); });
    }
    context = std::make_unique<Context>(id, model, context_spec,
                                        ContextOptions{options_.threads, options_.exact_batch});
    if (!options_.device.is_cpu) context->warm_up();
  } catch (...) {
    error = std::current_exception();
    context.reset();
  }
  lock.lock();
  if (load && model) {
    note("load", model->id, needs.weights, "in " + std::to_string(model->load_s) + " s");
    models_.add(model);
  } else if (load) {
    ledger_.release(spec.model_id);
  }
  if (error) {
    ledger_.release(id);
    changed_ = true;
    request->fail(error);
    return true;
  }
  note("context", id, needs.context(),
       std::to_string(n_seq) + " x " + std::to_string(context_spec.n_ctx) + " tokens on " +
           file_name(model->id));
  true_up(*context);
  contexts_.push_back(std::move(context));
  place(std::move(waiting), *contexts_.back(), lock);
  return true;
}

// Books what the library really allocated, which can only differ if an estimate was wrong or a
// graph larger than the reserved one was met.
void Scheduler::true_up(Context& context) {
  const Footprint real = context.footprint(options_.device);
  ledger_.set(context.id(), Kind::kv, real.kv);
  ledger_.set(context.id(), Kind::compute, real.compute);
  ledger_.set(context.model().id, Kind::weights, real.weights);
}

// Makes the room that the decision asks for. What is parked in a context is saved before it goes.
// False when something runs there after all: a request went elsewhere than the plan supposed.
bool Scheduler::evict(const Decision& decision, const std::string& for_what, Lock& lock) {
  const std::string reason = "to make room for " + for_what + " (needs " + mib(decision.missing) +
                             " more, " + mib(decision.free) + " free)";
  for (const std::string& id : decision.evict) {
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
    note("evict", id, ledger_.release(id), reason);
    models_.evict(id);
    totals_.evictions += 1;
  }
  note_moves();
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
  return all;
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
                    .aged = aged(waiting.since)});
  }
  add_holds_before(Clock::time_point::max());
  return jobs;
}

}  // namespace lmx
