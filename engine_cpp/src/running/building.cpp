// The part of the scheduler that makes what a request needs: weights on the device, a context upon
// them.
#include <algorithm>
#include <bit>
#include <set>

#include "lmx/base/errors.hpp"
#include "lmx/llama/heap.hpp"
#include "lmx/running/scheduler.hpp"

namespace lmx {
namespace {

constexpr Bytes kSmallCache = Bytes{256} << 20;

std::string loaded_as(const ResidentModel& model) {
  std::string text = "in " + std::to_string(model.load_s) + " s";
  if (!model.streamer) return text;
  const StreamPlan& plan = model.streamer->plan();
  return text + ", " + std::to_string(plan.resident) + " layers resident, " +
         std::to_string(plan.streamed.size()) + " streamed through " + std::to_string(plan.slots) +
         " slots";
}

}  // namespace

// Makes a context with as many slots as are asked for, or as many of them as fit.
void Scheduler::build(Waiting waiting, const Decision& decision, Lock& lock) {
  const std::shared_ptr<Request> request = waiting.request;
  const RequestSpec& spec = request->spec();
  const std::uint32_t wanted = 1 + waiting_for_same_context(spec);
  const bool loads = !models_.find(spec.model_id);
  const bool streams = loads && decision.verdict == Verdict::streamed;
  const Bytes free_now = ledger_.free();
  lock.unlock();
  std::vector<Build> choices;
  std::exception_ptr error;
  try {
    choices = streams
                  ? streamed_builds(spec, wanted, free_now)
                  : whole_builds(spec, wanted, sub_floor(free_now, loads ? spec.needs.weights : 0));
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  if (error) {
    request->fail(error);
    return;
  }
  for (const Build& choice : choices) {
    if (reserve_and_build(waiting, choice)) return;
  }
  request->enter(waiting.generation ? Phase::suspended : Phase::queued);
  queue_again(std::move(waiting));
}

std::uint32_t Scheduler::waiting_for_same_context(const RequestSpec& spec) const {
  return static_cast<std::uint32_t>(std::ranges::count_if(queue_, [&](const Waiting& other) {
    return other.spec().model_id == spec.model_id && other.spec().context == spec.context;
  }));
}

Footprint Scheduler::needs_of(const RequestSpec& spec, std::uint32_t n_seq,
                              std::uint32_t n_batch) const {
  ContextSpec context = spec.context;
  context.n_seq = n_seq;
  context.n_ubatch = std::max(context.n_ubatch, n_batch);
  return estimator_->estimate(spec.model, context);
}

// Numbers of slots with their needs, best first. More than are waiting for one, so that later
// requests can join without a context of their own, and sessions stay in them: as long as the cache
// takes no more than an eighth of what is free, which others may come for, and than half of the
// weights, beside which it then costs little to have been wrong.
std::vector<Scheduler::Build> Scheduler::whole_builds(const RequestSpec& spec,
                                                      std::uint32_t waiting, Bytes free) const {
  std::vector<Build> choices;
  std::uint32_t n_seq = std::min(waiting, options_.max_slots);
  const Bytes generous = std::min(free / 8, std::max(spec.needs.weights / 2, kSmallCache));
  for (std::uint32_t more = options_.max_slots; more > n_seq; more /= 2) {
    if (more * spec.needs.kv > generous) continue;
    choices.push_back({more, needs_of(spec, more), std::nullopt});
    break;
  }
  for (; n_seq > 1; n_seq /= 2) choices.push_back({n_seq, needs_of(spec, n_seq), std::nullopt});
  choices.push_back({1, spec.needs, std::nullopt});
  return choices;
}

// Tokens that a decode of a streamed model may have at most: those of the prompt at hand, where its
// request leaves that to the engine.
std::uint32_t Scheduler::widest_batch(const RequestSpec& spec) {
  constexpr std::uint32_t kWidest = 2048;
  const auto prompt = static_cast<std::uint32_t>(spec.prompt.size());
  if (!spec.may_widen || prompt <= spec.context.n_ubatch) return spec.context.n_ubatch;
  return std::max(spec.context.n_ubatch,
                  std::min({std::bit_ceil(prompt), kWidest, spec.context.n_ctx}));
}

// The same for a model that is to be streamed: sequences, the tokens of a decode and resident
// layers compete for the room.
std::vector<Scheduler::Build> Scheduler::streamed_builds(const RequestSpec& spec,
                                                         std::uint32_t waiting, Bytes free) {
  constexpr std::uint32_t kExpected = 4;  // others come for a model while it is being loaded
  const std::uint32_t demand = std::min(std::max(waiting, kExpected), options_.max_slots);
  sessions_.make_room(spec.stream->host_bytes);
  std::map<std::pair<std::uint32_t, std::uint32_t>, Footprint> needs;
  std::vector<ContextChoice> contexts;
  for (std::uint32_t n_seq = demand; n_seq > 0; n_seq /= 2) {
    for (const std::uint32_t n_batch : std::set{spec.context.n_ubatch, widest_batch(spec)}) {
      const Footprint& one = needs[{n_seq, n_batch}] = needs_of(spec, n_seq, n_batch);
      contexts.push_back({n_seq, n_batch, one.context()});
    }
  }
  const StreamDemand expected{demand, static_cast<std::uint32_t>(spec.prompt.size()),
                              spec.max_tokens};
  std::vector<Build> choices;
  for (StreamedChoice& choice : streamed_choices(spec.layers->sizes, options_.streaming, contexts,
                                                 expected, free, host_->free())) {
    const auto [n_seq, n_batch, bytes] = choice.context;
    choices.push_back({n_seq, needs[{n_seq, n_batch}], std::move(choice.plan), n_batch});
  }
  return choices;
}

// False when the bytes are not there.
bool Scheduler::reserve(const RequestSpec& spec, const std::string& context, const Build& build) {
  std::vector<Claim> claims = {{context, Kind::kv, build.needs.kv},
                               {context, Kind::compute, build.needs.compute}};
  const bool load = !models_.find(spec.model_id);
  if (load && build.plan) {
    claims.push_back({spec.model_id, Kind::weights, build.plan->weight_bytes});
    claims.push_back({spec.model_id, Kind::stream_slots, build.plan->slot_bytes});
    if (host_->reserve({spec.model_id, Kind::weights, build.plan->host_bytes})) return false;
  } else if (load) {
    claims.push_back({spec.model_id, Kind::weights, build.needs.weights});
  }
  if (!ledger_.reserve(claims)) return true;
  if (load && build.plan) host_->release(spec.model_id);
  return false;
}

// False when the bytes are not there. Weights and contexts are made by a thread of their own, so
// that what runs goes on meanwhile; the request has its context when finish_loading() finds it
// done.
bool Scheduler::reserve_and_build(Waiting& waiting, const Build& build) {
  const RequestSpec& spec = waiting.spec();
  const std::string id = "context " + std::to_string(contexts_made_ + 1);
  if (!reserve(spec, id, build)) return false;
  contexts_made_ += 1;
  auto loading = std::make_unique<Loading>(id, std::move(waiting), build);
  loading->model = models_.find(spec.model_id);
  loading->reused = loading->model != nullptr;
  loading_ = std::move(loading);
  loading_->thread = std::thread([this, one = loading_.get(), signal = signal_] {
    construct(*one);
    one->done = true;
    signal->raise();
  });
  return true;
}

// Allocates what has been reserved. Any thread; touches nothing of the scheduler's but options.
void Scheduler::construct(Loading& loading) {
  const std::shared_ptr<Request> request = loading.waiting.request;
  const RequestSpec& spec = request->spec();
  ContextSpec context_spec = spec.context;
  context_spec.n_seq = loading.build.n_seq;
  try {
    if (options_.device.is_cpu) {
      const Footprint& needs = loading.build.needs;
      require_memory(loading.model ? needs.context() : needs.total(), spec.model->info().n_layers);
    }
    if (!loading.model) {
      std::optional<Streaming> streaming;
      if (loading.build.plan) {
        streaming = Streaming{spec.layers, *loading.build.plan, options_.copies};
      }
      loading.model =
          ModelStore::load(spec.model_id, spec.model->identity(), options_.device, streaming,
                           [&] { return !closing_ && !request->cancelled(); });
    }
    loading.context =
        std::make_unique<Context>(loading.id, loading.model, context_spec,
                                  ContextOptions{options_.threads, loading.build.n_batch});
    if (!options_.device.is_cpu) loading.context->warm_up();
  } catch (...) {
    loading.error = std::current_exception();
    loading.context.reset();
  }
}

void Scheduler::finish_loading(Lock& lock) {
  if (!loading_ || !loading_->done) return;
  loading_->thread.join();
  finish(std::exchange(loading_, nullptr), lock);
}

void Scheduler::finish(std::unique_ptr<Loading> loading, Lock& lock) {
  const std::shared_ptr<Request> request = loading->waiting.request;
  changed_ = true;
  if (!loading->reused && loading->model) {
    note("load", loading->model->id, ledger_.held(loading->model->id), loaded_as(*loading->model));
    models_.add(loading->model);
  } else if (!loading->reused) {
    ledger_.release(request->spec().model_id);
    host_->release(request->spec().model_id);
  }
  if (loading->error) {
    ledger_.release(loading->id);
    request->fail(loading->error);
    return;
  }
  Context& context = *contexts_.emplace_back(std::move(loading->context));
  note("context", loading->id, loading->build.needs.context(),
       std::to_string(context.spec().n_seq) + " x " + std::to_string(context.spec().n_ctx) +
           " tokens on " + std::filesystem::path(context.model().id).filename().string());
  true_up(context);
  place(std::move(loading->waiting), context, lock);
}

// At the end of the engine. The load notices that and gives up.
void Scheduler::abandon_loading(Lock& lock) {
  if (!loading_) return;
  lock.unlock();
  loading_->thread.join();
  lock.lock();
  const std::unique_ptr<Loading> loading = std::exchange(loading_, nullptr);
  ledger_.release(loading->id);
  if (!loading->reused) {
    ledger_.release(loading->waiting.spec().model_id);
    host_->release(loading->waiting.spec().model_id);
  }
  loading->waiting.request->fail(std::make_exception_ptr(Cancelled("the engine was closed")));
}

// Books what the library really allocated, which can only differ if an estimate was wrong or a
// graph larger than the reserved one was met.
void Scheduler::true_up(Context& context) {
  const ResidentModel& model = context.model();
  Footprint real = context.footprint(options_.device);
  if (model.streamer && options_.device.is_cpu) {  // what is streamed lies in the same memory
    real.weights = sub_floor(real.weights, model.streamer->plan().host_bytes);
  }
  ledger_.set(context.id(), Kind::kv, real.kv);
  ledger_.set(context.id(), Kind::compute, real.compute);
  ledger_.set(model.id, Kind::weights, real.weights);
}

}  // namespace lmx
