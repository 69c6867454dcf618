// The part of the scheduler that other threads ask: plans, holds, names and the snapshot.
#include "lmx/running/scheduler.hpp"

#include <algorithm>

namespace lmx {

Projection Scheduler::project(const std::vector<Job>& jobs) {
  const std::lock_guard lock(mutex_);
  refresh_foreign();
  std::vector<Job> all = queued_jobs();
  const auto queued = static_cast<std::ptrdiff_t>(all.size());
  all.insert(all.end(), jobs.begin(), jobs.end());
  std::vector<Decision> decisions = plan(capacity(), residents(), all);
  Projection projection{.ledger = ledger_.entries(),
                        .asked = {decisions.begin() + queued, decisions.end()}};
  decisions.resize(all.size() - jobs.size());
  projection.queued = std::move(decisions);
  return projection;
}

std::string Scheduler::model_id(const FileIdentity& file) {
  const std::lock_guard lock(mutex_);
  const auto found = model_ids_.find(file);
  if (found != model_ids_.end()) return found->second;
  std::size_t earlier = 0;
  for (const auto& [other, id] : model_ids_) earlier += other.path == file.path ? 1 : 0;
  return model_ids_[file] =
             earlier == 0 ? file.path : file.path + " #" + std::to_string(earlier + 1);
}

std::string Scheduler::context_key(const ContextSpec& spec) {
  return "n_ctx=" + std::to_string(spec.n_ctx) + " kv=" + spec.kv_type +
         " ubatch=" + std::to_string(spec.n_ubatch) + " fa=" + spec.flash_attn +
         (spec.embeds() ? " pooling=" + spec.pooling : "");
}

void Scheduler::pin(const std::string& path, bool pinned) {
  {
    const std::lock_guard lock(mutex_);
    models_.pin(path, pinned);
    changed_ = true;
  }
  signal_->raise();
}

std::optional<Denial> Scheduler::hold(const std::string& holder, Bytes bytes, HoldMode mode) {
  {
    const std::lock_guard lock(mutex_);
    const Claim claim{hold_id(holder), Kind::foreign, bytes};
    if (mode == HoldMode::now) {
      refresh_foreign();
      return ledger_.reserve({&claim, 1});
    }
    if (mode == HoldMode::fact) {
      ledger_.set(claim.holder, Kind::foreign, bytes);
      return std::nullopt;
    }
    if (bytes > ledger_.cap()) return Denial{bytes, ledger_.cap(), ledger_.free()};
    const bool known =
        ledger_.held(claim.holder) > 0 ||
        std::ranges::find(wanted_holds_, holder, &WantedHold::holder) != wanted_holds_.end();
    if (known) return std::nullopt;
    wanted_holds_.push_back({holder, bytes, Clock::now()});
    changed_ = true;
  }
  signal_->raise();
  return std::nullopt;
}

Bytes Scheduler::release(const std::string& holder) {
  Bytes bytes = 0;
  {
    const std::lock_guard lock(mutex_);
    bytes = ledger_.release(hold_id(holder));
    wanted_holds_.remove_if([&](const WantedHold& hold) { return hold.holder == holder; });
    changed_ = true;
  }
  signal_->raise();
  return bytes;
}

void Scheduler::see(Sighting sighting) {
  {
    const std::lock_guard lock(mutex_);
    foreign_.see(std::move(sighting));
    if (!foreign_.book(ledger_, options_.device.in_use())) return;
    changed_ = true;
  }
  signal_->raise();
}

std::vector<HoldView> Scheduler::holds() const {
  std::vector<HoldView> all;
  for (const WantedHold& hold : wanted_holds_) {
    all.push_back({hold.holder, hold.bytes, false, seconds_between(hold.since, Clock::now())});
  }
  const std::string prefix = hold_id("");
  for (const Claim& claim : ledger_.entries()) {
    if (claim.kind == Kind::foreign && claim.holder.starts_with(prefix)) {
      all.push_back({claim.holder.substr(prefix.size()), claim.bytes, true, 0});
    }
  }
  return all;
}

Bytes Scheduler::free() {
  const std::lock_guard lock(mutex_);
  return ledger_.free();
}

namespace {

std::optional<StreamView> stream_view(const WeightStreamer* streamer) {
  if (streamer == nullptr) return std::nullopt;
  const StreamPlan& plan = streamer->plan();
  const StreamCounters counters = streamer->counters();
  const auto streamed = static_cast<std::uint32_t>(plan.streamed.size());
  return StreamView{.layers = plan.resident + streamed,
                    .resident = plan.resident,
                    .slots = plan.slots,
                    .slot_bytes = plan.slot_bytes,
                    .host_bytes = plan.host_bytes,
                    .copied_bytes = counters.copied_bytes,
                    .passes = counters.pipeline.passes,
                    .copy_s = counters.pipeline.copy_s,
                    .wait_s = counters.pipeline.wait_s,
                    .decode_s = counters.decode_s};
}

}  // namespace

Snapshot Scheduler::snapshot() {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  Snapshot view{.device = options_.device.name,
                .uptime_s = seconds_between(began_, now),
                .in_use = options_.device.in_use(),
                .cap = ledger_.cap(),
                .used = ledger_.used(),
                .free = ledger_.free(),
                .ledger = ledger_.entries(),
                .holds = holds(),
                .events = {events_.begin(), events_.end()},
                .totals = totals_,
                .rates = recent_.rates(seconds_between(began_, now))};
  const Ledger host = host_->now();
  view.host = {host.cap(), host.used(), host.entries(), sessions_.view()};
  for (const auto& [id, model] : models_.all()) {
    view.models.push_back({id, model->file.path, ledger_.held(id), models_.references(id),
                           models_.pinned(*model), seconds_between(model->last_used, now),
                           model->load_s, stream_view(model->streamer.get())});
  }
  for (const auto& context : contexts_) {
    view.contexts.push_back(
        {context->id(), context->model().id, context->spec().n_ctx, context->spec().n_seq,
         context->active(), context->parked(), ledger_.held(context->id(), Kind::kv),
         ledger_.held(context->id(), Kind::compute), seconds_between(context->last_used(), now)});
  }
  for (const auto& request : live_) {
    const Progress progress = request->progress();
    if (progress.phase == Phase::done) continue;
    view.requests.push_back({request->spec().id, request->spec().model_id,
                             phase_name(progress.phase), progress.wait_s, progress.age_s,
                             static_cast<std::uint32_t>(request->spec().prompt.size()),
                             progress.completion_tokens});
  }
  return view;
}

}  // namespace lmx
