#include "lmx/running/scheduler.hpp"

#include <algorithm>

#include "lmx/base/errors.hpp"
#include "lmx/base/log.hpp"
#include "lmx/llama/host_memory.hpp"

namespace lmx {
namespace {

constexpr auto kBurstApart = std::chrono::milliseconds(3);  // between requests of one burst

}  // namespace

void Signal::raise() {
  const std::lock_guard lock(mutex_);
  raised_ = true;
  changed_.notify_all();
}

void Signal::wait_until(std::optional<Clock::time_point> deadline) {
  std::unique_lock lock(mutex_);
  const auto is_raised = [&] { return raised_; };
  if (deadline) {
    changed_.wait_until(lock, *deadline, is_raised);
  } else {
    changed_.wait(lock, is_raised);
  }
  raised_ = false;
}

Scheduler::Scheduler(SchedulerOptions options, std::shared_ptr<Estimator> estimator)
    : options_(std::move(options)),
      estimator_(std::move(estimator)),
      host_(std::make_shared<SharedLedger>(options_.host_bytes)),
      sessions_(host_, store_options(), options_.device.name, options_.threads),
      ledger_(options_.cap) {
  thread_ = std::thread([this] { run(); });
}

KvStoreOptions Scheduler::store_options() {
  KvStoreOptions store;
  store.spill_dir = options_.spill_dir;
  store.spill_bytes = options_.spill_bytes;
  store.allocator = host_allocator(options_.device);
  store.changed = [this, signal = signal_] {
    files_changed_ = true;
    signal->raise();
  };
  store.warn = [](const std::string& line) { log_line(LogLevel::warning, line); };
  return store;
}

Scheduler::~Scheduler() {
  close();
}

std::shared_ptr<Request> Scheduler::submit(RequestSpec spec) {
  const auto wake = [signal = signal_] { signal->raise(); };
  auto request = std::make_shared<Request>(std::move(spec), wake);
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || closing_) throw Cancelled("the engine is closed; make a new one");
    const auto now = Clock::now();
    if (now - last_came_ > kBurstApart) burst_began_ = now;
    last_came_ = now;
    queue_.push_back({request, nullptr, now});
    live_.push_back(request);
    totals_.requests += 1;
    changed_ = true;
  }
  signal_->raise();
  return request;
}

void Scheduler::close() {
  const std::lock_guard closing(close_mutex_);
  if (!thread_.joinable()) return;
  closing_ = true;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& request : live_) request->cancel();
  }
  signal_->raise();
  thread_.join();
}

void Scheduler::run() {
  Lock lock(mutex_);
  while (!closing_) {
    refuse_ended_requests();
    if (!to_forget_.empty()) forget_parked();
    fetch_for_new();
    finish_loading(lock);
    if (files_changed_.exchange(false)) fetched();
    const bool look = time_to_look();
    if (changed_ || look || (!anything_runnable() && anybody_waits())) {
      changed_ = false;
      if (anybody_waits()) stepped_at_.reset();  // starting something is not overhead
      admit(lock);
      if (look && make_way(lock)) admit(lock);
    }
    if (bring_layers_back(lock)) continue;
    if (const auto burst = end_of_burst()) {
      stepped_at_.reset();
      lock.unlock();
      signal_->wait_until(burst);
      lock.lock();
      continue;
    }
    if (anything_runnable()) {
      step_next(lock);
      continue;
    }
    stepped_at_.reset();
    const auto wake = next_wake();
    lock.unlock();
    signal_->wait_until(wake);
    lock.lock();
  }
  fail_everything(lock);
}

bool Scheduler::anything_runnable() const {
  return std::ranges::any_of(contexts_, [](const auto& context) { return context->runnable(); });
}

// Cancelled and expired requests leave the queue without ever having touched the device.
void Scheduler::refuse_ended_requests() {
  const auto now = Clock::now();
  for (auto it = queue_.begin(); it != queue_.end();) {
    const std::shared_ptr<Request> request = it->request;
    const auto& deadline = request->spec().deadline;
    if (request->cancelled()) {
      request->fail(std::make_exception_ptr(Cancelled("the request was cancelled")));
    } else if (deadline && now >= *deadline) {
      request->fail(std::make_exception_ptr(
          DeadlineExceeded("the deadline passed while waiting for memory; allow more time")));
    }
    it = request->done() ? queue_.erase(it) : std::next(it);
  }
  std::erase_if(live_, [](const auto& request) { return request->done(); });
}

std::optional<Clock::time_point> Scheduler::next_wake() const {
  std::optional<Clock::time_point> wake;
  const auto no_later_than = [&](Clock::time_point moment) {
    if (!wake || moment < *wake) wake = moment;
  };
  for (const auto& request : live_) {
    if (const auto& deadline = request->spec().deadline) no_later_than(*deadline);
  }
  for (const Waiting& waiting : queue_) {
    if (waiting.fetching_until > Clock::now()) no_later_than(waiting.fetching_until);
  }
  // What runs may be held up by slow readers only; it gives way to those who wait.
  const auto active = [](const auto& context) { return context->active() > 0; };
  if (anybody_waits() && std::ranges::any_of(contexts_, active)) no_later_than(next_look_);
  // Nothing tells when another process frees memory of a GPU.
  constexpr auto kForeignPoll = std::chrono::milliseconds(200);
  if (anybody_waits() && !options_.device.is_cpu) no_later_than(Clock::now() + kForeignPoll);
  return wake;
}

// Until when the first decode of new prompts waits for more of them, so that a swarm that is asked
// at once also decodes together: a twentieth of what the prompts take at most, and never for
// streams.
std::optional<Clock::time_point> Scheduler::end_of_burst() const {
  constexpr double kShare = 0.05;
  const auto now = Clock::now();
  if (now >= last_came_ + kBurstApart) return std::nullopt;
  double prompts_s = 0;
  for (const auto& context : contexts_) {
    if (context->stream_s() > 0) return std::nullopt;
    prompts_s += context->prefill_left_s();
  }
  const std::chrono::duration<double> patience(kShare * prompts_s);
  const auto end = std::min(last_came_ + kBurstApart,
                            burst_began_ + std::chrono::duration_cast<Clock::duration>(patience));
  if (end <= now) return std::nullopt;
  return end;
}

std::vector<Share> Scheduler::shares() const {
  std::vector<Share> all;
  for (const auto& context : contexts_) {
    const auto found = used_s_.find(context.get());
    all.push_back({context->runnable(), found == used_s_.end() ? 0 : found->second});
  }
  return all;
}

// One decode of the context that has had the least of the device's time.
void Scheduler::step_next(Lock& lock) {
  const auto next = next_share(shares());
  if (!next) return;
  Context& context = **std::next(contexts_.begin(), static_cast<std::ptrdiff_t>(*next));
  double others_s = 0;  // the shortest decode of streams elsewhere
  for (const auto& other : contexts_) {
    const double seconds = other.get() == &context ? 0 : other->stream_s();
    if (seconds > 0 && (others_s == 0 || seconds < others_s)) others_s = seconds;
  }
  Step step;
  bool failed = false;
  lock.unlock();
  try {
    step = context.step(others_s);
  } catch (...) {
    failed = true;
    step.endings = context.fail_all(std::current_exception());
  }
  lock.lock();
  account(context, step);
  if (failed) drop_failed(context);
  for (const Ending& ending : step.endings) ending.announce();
}

void Scheduler::drop_failed(Context& context) {
  note("context_failed", context.id(), ledger_.release(context.id()), "a decode failed");
  used_s_.erase(&context);
  contexts_.remove_if([&](const auto& other) { return other.get() == &context; });
  changed_ = true;
}

void Scheduler::account(Context& context, const Step& step) {
  totals_.decodes += 1;
  totals_.decoded_sequences += step.sequences;
  totals_.prefill_tokens += step.prefill_tokens;
  totals_.completion_tokens += step.completion_tokens;
  totals_.finished += step.endings.size();
  const auto now = Clock::now();
  totals_.busy_s += step.decode_s + step.sample_s;
  if (stepped_at_) {
    const double round_s = seconds_between(*stepped_at_, now);
    totals_.overhead_s += std::max(0.0, round_s - step.decode_s - step.sample_s);
  }
  stepped_at_ = now;
  used_s_[&context] += step.seconds;
  if (const auto model = models_.find(context.model().id)) {
    model->last_used = context.last_used();
    account_streaming(*model);
  }
  recent_.observe(seconds_between(began_, now), totals_);
  if (step.endings.empty()) return;
  true_up(context);
  changed_ = true;
}

void Scheduler::account_streaming(ResidentModel& model) {
  if (!model.streamer) return;
  const StreamCounters now = model.streamer->counters();
  totals_.streamed_bytes += now.copied_bytes - model.accounted.copied_bytes;
  totals_.stream_copy_s += now.pipeline.copy_s - model.accounted.pipeline.copy_s;
  model.accounted = now;
}

void Scheduler::fail_everything(Lock& lock) {
  const auto error = std::make_exception_ptr(Cancelled("the engine was closed"));
  abandon_loading(lock);
  std::vector<Ending> endings;
  for (const auto& context : contexts_) {
    std::ranges::move(context->fail_all(error), std::back_inserter(endings));
  }
  closed_ = true;
  save_sessions(lock);
  sessions_.close();
  for (const auto& context : contexts_) ledger_.release(context->id());
  for (const auto& waiting : queue_) endings.push_back({waiting.request, "", error});
  for (const auto& [id, model] : models_.all()) ledger_.release(id);
  contexts_.clear();
  used_s_.clear();
  models_ = ModelStore();
  queue_.clear();
  wanted_holds_.clear();
  live_.clear();
  for (const Ending& ending : endings) ending.announce();
}

void Scheduler::note(std::string kind, std::string subject, Bytes bytes, std::string reason) {
  constexpr std::size_t kKeptEvents = 256;
  if (events_.size() == kKeptEvents) events_.pop_front();
  log_line(LogLevel::info, kind + ": " + subject + ", " + mib(bytes) + ": " + reason);
  events_.push_back({seconds_between(began_, Clock::now()), std::move(kind), std::move(subject),
                     bytes, std::move(reason)});
}

}  // namespace lmx
