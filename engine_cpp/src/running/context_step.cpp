// One decode of a context, and what comes of it.
#include <algorithm>

#include "lmx/base/errors.hpp"
#include "lmx/running/context.hpp"

namespace lmx {
namespace {

bool is_over(const Request& request) {
  const auto& deadline = request.spec().deadline;
  return request.cancelled() || (deadline && Clock::now() >= *deadline);
}

}  // namespace

bool Context::should_abort(void* self) {
  const auto& requests = static_cast<const Context*>(self)->in_batch_;
  return !requests.empty() &&
         std::ranges::all_of(requests, [](const Request* request) { return is_over(*request); });
}

bool Context::runnable() const {
  return std::ranges::any_of(slots_, [](const Slot& slot) {
    return slot.may_decode() || (slot.running() && is_over(*slot.generation->request));
  });
}

double Context::stream_s() const {
  const bool any = std::ranges::any_of(
      slots_, [](const Slot& slot) { return slot.may_decode() && slot.streaming(); });
  return any ? stream_s_ : 0;
}

double Context::prefill_left_s() const {
  std::uint32_t tokens = 0;
  for (const Slot& slot : slots_) tokens += slot.running() ? slot.behind() : 0;
  return prefill_s(tokens);
}

Step Context::step(double others_s) {
  const auto began = Clock::now();
  Step step;
  retire_ended(step);
  fill_batch(others_s);
  step.sequences = static_cast<std::uint32_t>(in_batch_.size());
  if (batch_->count() > 0) {
    const bool streams = std::ranges::any_of(
        slots_, [](const Slot& slot) { return slot.batched == 1 && slot.streaming(); });
    const auto decoding = Clock::now();
    const bool done = decode_batch();
    const auto decoded = Clock::now();
    step.decode_s = seconds_between(decoding, decoded);
    if (done) {
      advance(step);
      learn_speed(step, streams);
      for (std::uint32_t i = 0; i < slots_.size(); ++i) {
        if (!slots_[i].running() || slots_[i].output_row < 0) continue;
        spec_.embeds() ? pool(i, step) : sample(i, step);
      }
      step.sample_s = seconds_between(decoded, Clock::now());
    } else {
      recover_after_abort();
    }
  }
  last_used_ = Clock::now();
  step.seconds = seconds_between(began, last_used_);
  return step;
}

void Context::retire_ended(Step& step) {
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].running()) continue;
    const Request& request = *slots_[i].generation->request;
    const auto& deadline = request.spec().deadline;
    std::exception_ptr error;
    if (request.cancelled()) {
      error = std::make_exception_ptr(Cancelled("the request was cancelled"));
    } else if (deadline && Clock::now() >= *deadline) {
      error = std::make_exception_ptr(DeadlineExceeded(
          "the deadline passed while generating; allow more time or fewer tokens"));
    }
    if (error) step.endings.push_back(end(i, "", error));
  }
}

// False when it was abandoned because all who took part are cancelled or past their deadlines.
bool Context::decode_batch() {
  const std::int32_t status = model_->decode(handle_.get(), batch_->tokens());
  llama_synchronize(handle_.get());
  in_batch_.clear();
  constexpr std::int32_t kAborted = 2;
  if (status == 0 || status == kAborted) return status == 0;
  throw Error("a decode of " + std::to_string(batch_->count()) + " tokens failed with status " +
              std::to_string(status) + "; the device may be out of memory, lower the cap");
}

void Context::advance(Step& step) {
  for (Slot& slot : slots_) {
    if (slot.batched == 0) continue;
    const std::uint32_t from = slot.n_past;
    slot.n_past += slot.batched;
    slot.last_used = Clock::now();
    if (slot.batched > 1 || !slot.streaming()) {
      const std::uint32_t prompt = slot.generation->prompt_size();
      step.prefill_tokens += std::min(slot.n_past, prompt) - std::min(from, prompt);
    }
    const bool whole_chunk =
        slot.generation->exact() && from == slot.exact_until && slot.n_past - from == memory_.chunk;
    if (whole_chunk) slot.exact_until = slot.n_past;
  }
}

// An abandoned decode leaves those of its parts in the cache that were complete.
void Context::recover_after_abort() {
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (slot.batched == 0) continue;
    slot.output_row = -1;
    const auto last =
        llama_memory_seq_pos_max(llama_get_memory(handle_.get()), static_cast<llama_seq_id>(i));
    const auto there = static_cast<std::uint32_t>(last + 1);
    const bool plausible = there >= slot.n_past && there <= slot.n_past + slot.batched;
    slot.n_past = plausible && memory_.can_trim ? there : trim(i, 0);
    slot.exact_until = std::min(slot.exact_until, slot.n_past);
  }
}

void Context::learn_speed(const Step& step, bool streams) {
  const auto smooth = [](double old, double seen) {
    return old == 0 ? seen : 0.8 * old + 0.2 * seen;
  };
  if (step.prefill_tokens == 0) {
    stream_s_ = smooth(stream_s_, step.decode_s);
  } else if (!streams || step.decode_s > stream_s_) {
    const double for_prompts = streams ? step.decode_s - stream_s_ : step.decode_s;
    prefill_token_s_ = smooth(prefill_token_s_, for_prompts / step.prefill_tokens);
  }
}

}  // namespace lmx
