// The part of the scheduler that finds a request its slot, and what it can go on from.
#include <algorithm>
#include <tuple>

#include "lmx/running/scheduler.hpp"

namespace lmx {

namespace {

// How long a request waits for its saved sequence to be read from disk.
constexpr auto kFetchPatience = std::chrono::seconds(5);

}  // namespace

// Of the contexts that it may join, the one where most of it is at hand.
Context* Scheduler::open_context(const Waiting& waiting) {
  const RequestSpec& spec = waiting.spec();
  const Wanted wanted{waiting.generation ? waiting.generation->tokens : spec.prompt,
                      spec.mode == Mode::deterministic};
  Context* best = nullptr;
  std::tuple<bool, std::uint32_t> most;
  for (const auto& context : contexts_) {
    ContextSpec alone = context->spec();
    alone.n_seq = 1;
    if (context->model().id != spec.model_id || alone != spec.context) continue;
    if (context->free_slots() == 0) continue;
    std::tuple<bool, std::uint32_t> has;
    for (const Held& held : context->held(spec.session)) {
      const std::tuple<bool, std::uint32_t> one = {held.own && !held.running,
                                                   usable_prefix(held, wanted, context->memory())};
      has = std::max(has, one);
    }
    if (best != nullptr && has <= most) continue;
    best = context.get();
    most = has;
  }
  return best;
}

void Scheduler::place(Waiting waiting, Context& context, Lock& lock) {
  const std::string session = waiting.spec().session;
  if (context.active() == 0) used_s_[&context] = used_on_return(shares(), used_s_[&context]);
  lock.unlock();
  std::exception_ptr error;
  std::uint32_t cached = 0;
  try {
    for (const auto& other : contexts_) {
      const bool same = other->model().id == context.model().id && other.get() != &context;
      if (same && !session.empty()) {
        sessions_.put_away(*other, session, "its session goes on in " + context.id());
      }
    }
    std::unique_ptr<Generation> generation = std::move(waiting.generation);
    if (!generation) generation = context.begin(waiting.request);
    const Sessions::Seat seat = sessions_.seat(context, *generation, waiting.saved);
    const bool is_new = generation->produced() == 0;
    context.add(std::move(generation), seat.slot, seat.keep);
    if (is_new) cached = context.slots()[seat.slot].n_past;
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  note_moves();
  totals_.cached_tokens += cached;
  if (error) waiting.request->fail(error);
}

// New requests wait a moment for what they can go on from when that has to be read from disk.
void Scheduler::fetch_for_new() {
  const auto now = Clock::now();
  for (Waiting& waiting : queue_) {
    if (waiting.looked_up) continue;
    waiting.looked_up = true;
    if (sessions_.fetch(waiting.spec())) waiting.fetching_until = now + kFetchPatience;
  }
}

void Scheduler::fetched() {
  for (Waiting& waiting : queue_) {
    if (waiting.fetching_until == Clock::time_point{}) continue;
    if (!sessions_.fetch(waiting.spec())) waiting.fetching_until = {};
  }
  changed_ = true;
}

void Scheduler::forget(const std::string& session) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) to_forget_.push_back(session);
  }
  signal_->raise();
}

void Scheduler::forget_parked() {
  for (const std::string& session : std::exchange(to_forget_, {})) {
    sessions_.forget(session);
    for (const auto& context : contexts_) {
      for (std::uint32_t i = 0; i < context->slots().size(); ++i) {
        const Slot& slot = context->slots()[i];
        if (slot.parked() && slot.session == session) context->clear(i);
      }
    }
  }
}

void Scheduler::note_moves() {
  for (Move& move : sessions_.moves()) {
    note(std::move(move.kind), std::move(move.subject), move.bytes,
         std::move(move.reason) + ", in " + std::to_string(move.seconds) + " s");
  }
  totals_.swaps = sessions_.totals();
}

// At the end of the engine: what has a name is found again by the next one.
void Scheduler::save_sessions(Lock& lock) {
  constexpr double kLongest_s = 60;
  forget_parked();
  lock.unlock();
  for (const auto& context : contexts_) sessions_.put_away_named(*context, "the engine closes");
  sessions_.spill(kLongest_s);
  lock.lock();
  note_moves();
}

}  // namespace lmx
