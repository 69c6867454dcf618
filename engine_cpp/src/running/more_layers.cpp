// The part of the scheduler that loads a streamed model anew, with more of its layers or with all,
// when there is room for them again.
#include <algorithm>

#include "lmx/llama/heap.hpp"
#include "lmx/running/scheduler.hpp"

namespace lmx {

std::vector<Context*> Scheduler::contexts_of(const ResidentModel& model) const {
  std::vector<Context*> all;
  for (const auto& context : contexts_) {
    if (context->model().id == model.id) all.push_back(context.get());
  }
  return all;
}

// When it would stream at most half as much, and has streamed, since there was room, for as long as
// the change takes: then the change costs at most as much again as not having made it at once.
bool Scheduler::worth_reloading(ResidentModel& model, Clock::time_point now) {
  const StreamPlan& plan = model.streamer->plan();
  Bytes room = add_saturating(ledger_.free(), ledger_.held(model.id));
  double change_s = model.load_s;
  bool all_had_their_time = true;
  for (const Context* context : contexts_of(model)) {
    if (context->active() == 0) room += ledger_.held(context->id());
    change_s += 2 * sessions_.seconds_for(ledger_.held(context->id(), Kind::kv));
    for (const Slot& slot : context->slots()) {
      if (slot.running() && !may_be_suspended(*context, slot, 0)) all_had_their_time = false;
    }
  }
  const Bytes streamed =
      streamed_within(model.layers->sizes, options_.streaming, room, plan.host_bytes);
  if (2 * streamed > plan.host_bytes) {
    model.room_since.reset();
    return false;
  }
  if (!model.room_since) model.room_since = now;
  return all_had_their_time &&
         seconds_between(*model.room_since, now) > std::max(options_.patience_s, change_s);
}

// What runs is suspended and goes on, by itself, upon the model as it is loaded next. Nobody must
// be waiting: the room is theirs. True when that has begun.
bool Scheduler::bring_layers_back(Lock& lock) {
  constexpr auto kLook = std::chrono::milliseconds(50);
  const auto now = Clock::now();
  const bool may = options_.streaming.mode == StreamingMode::automatic && !loading_ &&
                   !anybody_waits() && now >= next_layer_look_;
  if (!may) return false;
  next_layer_look_ = now + kLook;
  for (const auto& [id, model] : models_.all()) {
    const auto contexts = contexts_of(*model);
    const bool runs = std::ranges::any_of(contexts, [](auto* one) { return one->active() > 0; });
    if (!model->streamer || !runs || !worth_reloading(*model, now)) continue;
    if (foreign_.book(ledger_, options_.device.in_use()) && !worth_reloading(*model, now)) continue;
    const std::string reason = "there is room for more of its layers";
    std::vector<std::string> leaving;
    for (Context* context : contexts) {
      for (std::uint32_t i = 0; i < context->slots().size(); ++i) {
        if (context->slots()[i].running()) suspend(*context, i, reason, lock);
      }
      leaving.push_back(context->id());
    }
    leaving.push_back(id);
    for (const std::string& one : leaving) {
      totals_.evictions_for_layers += let_go(one, reason, lock) ? 1 : 0;
    }
    if (options_.device.is_cpu) return_freed_memory();
    changed_ = true;
    return true;
  }
  return false;
}

}  // namespace lmx
