// One generation: what was asked, how far it is, and the text as it comes.
//
// The scheduler thread produces, any other thread consumes; neither waits for the other.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lmx/memory/estimator.hpp"
#include "lmx/memory/planner.hpp"
#include "lmx/text/sampling.hpp"

namespace lmx {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to);

// How a request is decoded: with all others of its context in one batch, or so that its bits do not
// depend on what else runs.
enum class Mode { throughput, deterministic };

struct RequestSpec {
  std::uint64_t id = 0;
  std::string session;  // the conversation that it continues; empty: none
  Mode mode = Mode::throughput;
  std::uint32_t exact_batch = 1;  // deterministic ones that were proven not to change its bits
  std::shared_ptr<const DryModel> model;
  std::string model_id;
  ContextSpec context;                        // with n_seq = 1
  Footprint needs;                            // for the same
  std::shared_ptr<const ModelLayers> layers;  // with `stream`
  std::optional<StreamNeeds> stream;          // how it may run if it does not fit
  bool may_widen = false;                     // streamed, in larger decodes than its n_ubatch
  std::vector<llama_token> prompt;
  std::uint32_t max_tokens = 128;
  Sampling sampling;
  std::vector<std::string> stops;
  std::optional<Constraint> constraint;
  std::vector<llama_token> preserved;     // control tokens that are part of the text
  std::optional<std::uint32_t> logprobs;  // likeliest tokens to tell beside each chosen one
  std::size_t max_unread = 1U << 16;      // bytes of text that a slow reader may leave behind
  std::optional<Clock::time_point> deadline;
};

// suspended: others had waited long enough for its memory; it goes on by itself.
enum class Phase { queued, loading, prefill, decode, suspended, done };

const char* phase_name(Phase phase);

struct Result {
  std::string text;
  std::string finish_reason;  // "stop" (end of turn or stop string) or "length"
  std::uint32_t prompt_tokens = 0;
  std::uint32_t cached_tokens = 0;  // of the prompt, that needed no prefill
  std::uint32_t completion_tokens = 0;
  double wait_s = 0;  // until there was memory and a slot for it, or while it was suspended
  double load_s = 0;  // loading weights and making its context
  double prefill_s = 0;
  double decode_s = 0;
  std::uint32_t seed = 0;
  std::vector<TokenLogprob> logprobs;  // of each completion token, if they were asked for
  std::vector<float> embedding;        // of the whole prompt, in a context that embeds
};

struct Progress {
  Phase phase = Phase::queued;
  double wait_s = 0;
  double age_s = 0;
  std::uint32_t completion_tokens = 0;
};

class Request {
 public:
  // `wake` is called when the scheduler, should it sleep, has to look again.
  Request(RequestSpec spec, std::function<void()> wake);

  const RequestSpec& spec() const { return spec_; }
  Clock::time_point submitted_at() const { return submitted_at_; }

  // Consumer. next() gives the text that has come since the last call, empty at the end, nothing
  // when `timeout` passed first; result() the same for the whole. Both throw what ended a failed
  // request, next() only after the text before it was taken. Once next() has been called, a text
  // that nobody takes is held up at `max_unread` bytes, until it is taken or result() is called.
  std::optional<std::string> next(std::chrono::milliseconds timeout);
  std::optional<Result> result(std::chrono::milliseconds timeout);
  void cancel();
  bool done() const;
  Progress progress() const;

  // Producer.
  bool throttled() const { return throttled_.load(std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  void enter(Phase phase);
  void emit(const std::string& text);
  void count_token();
  void set_cached_tokens(std::uint32_t n);
  void add_logprob(TokenLogprob logprob);
  void set_embedding(std::vector<float> embedding);
  void finish(const std::string& reason);
  void fail(std::exception_ptr error);

 private:
  void close_phase(Clock::time_point now);

  const RequestSpec spec_;
  const std::function<void()> wake_;
  const Clock::time_point submitted_at_ = Clock::now();
  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> throttled_ = false;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Phase phase_ = Phase::queued;
  Clock::time_point phase_began_ = submitted_at_;
  std::size_t taken_ = 0;  // bytes of result_.text that the consumer has had
  bool read_in_pieces_ = false;
  bool wanted_whole_ = false;
  Result result_;
  std::exception_ptr error_;
};

}  // namespace lmx
