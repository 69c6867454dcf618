#include "lmx/running/request.hpp"

namespace lmx {

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

const char* phase_name(Phase phase) {
  switch (phase) {
    case Phase::queued:
      return "queued";
    case Phase::loading:
      return "loading";
    case Phase::prefill:
      return "prefill";
    case Phase::decode:
      return "decode";
    case Phase::suspended:
      return "suspended";
    case Phase::done:
      return "done";
  }
  return "unknown";
}

Request::Request(RequestSpec spec, std::function<void()> wake)
    : spec_(std::move(spec)), wake_(std::move(wake)) {
  result_.prompt_tokens = static_cast<std::uint32_t>(spec_.prompt.size());
  result_.seed = spec_.sampling.seed;
}

std::optional<std::string> Request::next(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  read_in_pieces_ = true;
  const auto has_news = [&] { return taken_ < result_.text.size() || phase_ == Phase::done; };
  if (!changed_.wait_for(lock, timeout, has_news)) return std::nullopt;
  if (taken_ < result_.text.size()) {
    std::string piece = result_.text.substr(taken_);
    taken_ = result_.text.size();
    if (throttled_.exchange(false)) wake_();
    return piece;
  }
  if (error_) std::rethrow_exception(error_);
  return std::string();
}

std::optional<Result> Request::result(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  wanted_whole_ = true;
  if (throttled_.exchange(false)) wake_();
  if (!changed_.wait_for(lock, timeout, [&] { return phase_ == Phase::done; })) {
    return std::nullopt;
  }
  if (error_) std::rethrow_exception(error_);
  return result_;
}

void Request::cancel() {
  cancelled_.store(true, std::memory_order_relaxed);
  wake_();
}

bool Request::done() const {
  const std::lock_guard lock(mutex_);
  return phase_ == Phase::done;
}

Progress Request::progress() const {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  Progress progress{phase_, result_.wait_s, seconds_between(submitted_at_, now),
                    result_.completion_tokens};
  if (phase_ == Phase::queued) progress.wait_s = progress.age_s;
  return progress;
}

void Request::close_phase(Clock::time_point now) {
  const double spent = seconds_between(phase_began_, now);
  if (phase_ == Phase::queued || phase_ == Phase::suspended) result_.wait_s += spent;
  if (phase_ == Phase::loading) result_.load_s += spent;
  if (phase_ == Phase::prefill) result_.prefill_s += spent;
  if (phase_ == Phase::decode) result_.decode_s += spent;
  phase_began_ = now;
}

void Request::enter(Phase phase) {
  const std::lock_guard lock(mutex_);
  close_phase(Clock::now());
  phase_ = phase;
  if (phase == Phase::done) changed_.notify_all();
}

void Request::emit(const std::string& text) {
  if (text.empty()) return;
  const std::lock_guard lock(mutex_);
  result_.text += text;
  const bool unread = result_.text.size() - taken_ > spec_.max_unread;
  if (unread && read_in_pieces_ && !wanted_whole_) throttled_ = true;
  if (read_in_pieces_) changed_.notify_all();  // who waits for the whole would wake in vain
}

void Request::count_token() {
  const std::lock_guard lock(mutex_);
  result_.completion_tokens += 1;
}

void Request::set_cached_tokens(std::uint32_t n) {
  const std::lock_guard lock(mutex_);
  result_.cached_tokens = n;
}

void Request::add_logprob(TokenLogprob logprob) {
  const std::lock_guard lock(mutex_);
  result_.logprobs.push_back(std::move(logprob));
}

void Request::set_embedding(std::vector<float> embedding) {
  const std::lock_guard lock(mutex_);
  result_.embedding = std::move(embedding);
}

void Request::finish(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    result_.finish_reason = reason;
  }
  enter(Phase::done);
}

void Request::fail(std::exception_ptr error) {
  {
    const std::lock_guard lock(mutex_);
    error_ = std::move(error);
  }
  enter(Phase::done);
}

}  // namespace lmx
