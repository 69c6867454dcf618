#include "lmx/running/context.hpp"

#include <algorithm>
#include <limits>

#include "lmx/base/errors.hpp"

namespace lmx {
namespace {

// While streams are running, a prompt is taken in smaller bites so that they do not stall.
constexpr std::uint32_t kPrefillShare = 4;

// Rejects NaN and +inf; -inf is how some models rule a token out.
bool usable(const float* logits, std::int32_t n) {
  return logits != nullptr && std::all_of(logits, logits + n, [](float logit) {
           return logit <= std::numeric_limits<float>::max();
         });
}

}  // namespace

void Ending::announce() const {
  if (error) {
    request->fail(error);
  } else {
    request->finish(reason);
  }
}

struct Context::Batch {
  explicit Batch(std::uint32_t capacity)
      : size(capacity), tokens(llama_batch_init(static_cast<std::int32_t>(capacity), 0, 1)) {}
  ~Batch() { llama_batch_free(tokens); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  std::uint32_t room() const { return size - static_cast<std::uint32_t>(tokens.n_tokens); }

  std::int32_t add(llama_token token, std::uint32_t position, std::uint32_t sequence, bool output) {
    const std::int32_t row = tokens.n_tokens++;
    tokens.token[row] = token;
    tokens.pos[row] = static_cast<llama_pos>(position);
    tokens.n_seq_id[row] = 1;
    tokens.seq_id[row][0] = static_cast<llama_seq_id>(sequence);
    tokens.logits[row] = output ? 1 : 0;
    return row;
  }

  const std::uint32_t size;
  llama_batch tokens;
};

Context::Context(std::string id, std::shared_ptr<ResidentModel> model, const ContextSpec& spec,
                 std::int32_t threads)
    : id_(std::move(id)),
      model_(std::move(model)),
      spec_(spec),
      vocab_(llama_model_get_vocab(model_->handle.get())) {
  const auto began = Clock::now();
  handle_ = make_context(model_->handle.get(), spec_, threads, should_abort, this);
  batch_ = std::make_unique<Batch>(llama_n_batch(handle_.get()));
  slots_.resize(spec_.n_seq);
  build_s_ = seconds_between(began, Clock::now());
}

Context::~Context() = default;

Footprint Context::footprint(const Device& device) const {
  return lmx::footprint(handle_.get(), device);
}

bool Context::should_abort(void* self) {
  const auto& requests = static_cast<const Context*>(self)->in_batch_;
  return !requests.empty() &&
         std::ranges::all_of(requests, [](const Request* request) { return request->cancelled(); });
}

void Context::warm_up() {
  const llama_token token = std::max<llama_token>(llama_vocab_bos(vocab_), 0);
  batch_->tokens.n_tokens = 0;
  for (std::uint32_t i = 0; batch_->room() > 0; ++i) {
    batch_->add(token, i / spec_.n_seq, i % spec_.n_seq, i < spec_.n_seq);
  }
  decode_batch();
  llama_synchronize(handle_.get());
  llama_memory_clear(llama_get_memory(handle_.get()), false);
}

void Context::add(std::shared_ptr<Request> request) {
  const auto idle = std::ranges::find_if(slots_, [](const Slot& slot) { return !slot.request; });
  const RequestSpec& spec = request->spec();
  idle->sampler = make_sampler(spec.sampling, vocab_, spec.context.n_ctx);
  for (llama_token token : spec.prompt) llama_sampler_accept(idle->sampler.get(), token);
  idle->text = TextStream(spec.stops);
  idle->grammar = spec.grammar;
  idle->n_past = 0;
  request->enter(Phase::prefill);
  idle->request = std::move(request);
  active_ += 1;
}

Step Context::step() {
  const auto began = Clock::now();
  Step step;
  retire_ended(step);
  fill_batch(step);
  if (batch_->tokens.n_tokens > 0) {
    decode_batch();
    for (std::uint32_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].request && slots_[i].output_row >= 0) sample(i, step);
    }
  }
  last_used_ = Clock::now();
  step.seconds = seconds_between(began, last_used_);
  return step;
}

void Context::retire_ended(Step& step) {
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].request) continue;
    const Request& request = *slots_[i].request;
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

void Context::fill_batch(Step& step) {
  batch_->tokens.n_tokens = 0;
  in_batch_.clear();
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    slot.output_row = -1;
    if (!slot.request || slot.prefilling() || batch_->room() == 0) continue;
    slot.output_row = batch_->add(slot.next_token, slot.n_past++, i, true);
    in_batch_.push_back(slot.request.get());
  }
  const bool streams_are_running = batch_->tokens.n_tokens > 0;
  std::uint32_t budget =
      streams_are_running ? std::max(1U, batch_->size / kPrefillShare) : batch_->size;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.request || slot.output_row >= 0 || !slot.prefilling()) continue;
    const auto& prompt = slot.request->spec().prompt;
    const auto left = static_cast<std::uint32_t>(prompt.size()) - slot.n_past;
    const std::uint32_t n = std::min({left, budget, batch_->room()});
    if (n == 0) break;
    for (std::uint32_t k = 0; k < n; ++k) {
      const bool last = slot.n_past + 1 == prompt.size();
      const auto row = batch_->add(prompt[slot.n_past], slot.n_past, i, last);
      if (last) slot.output_row = row;
      slot.n_past += 1;
    }
    budget -= n;
    step.prefill_tokens += n;
    in_batch_.push_back(slot.request.get());
  }
  step.sequences = static_cast<std::uint32_t>(in_batch_.size());
}

void Context::decode_batch() {
  const std::int32_t status = llama_decode(handle_.get(), batch_->tokens);
  in_batch_.clear();
  constexpr std::int32_t kAborted = 2;  // everybody in the batch was cancelled; retired next step
  if (status == 0) return;
  if (status == kAborted) {
    for (Slot& slot : slots_) slot.output_row = -1;
    return;
  }
  throw Error("a decode of " + std::to_string(batch_->tokens.n_tokens) +
              " tokens failed with status " + std::to_string(status) +
              "; the device may be out of memory, lower the cap");
}

void Context::sample(std::uint32_t index, Step& step) {
  Slot& slot = slots_[index];
  const float* logits = llama_get_logits_ith(handle_.get(), slot.output_row);
  if (!usable(logits, llama_vocab_n_tokens(vocab_))) {
    const ModelFileError error(model_->file.path +
                               ": computes numbers that are not finite; the file is damaged");
    step.endings.push_back(end(index, "", std::make_exception_ptr(error)));
    return;
  }
  if (slot.n_past == slot.request->spec().prompt.size()) slot.request->enter(Phase::decode);
  try {
    accept(index, choose(slot, logits), step);
  } catch (...) {  // of the grammar: only this request's own affair
    step.endings.push_back(end(index, "", std::current_exception()));
  }
}

llama_token Context::choose(Slot& slot, const float* logits) {
  const llama_token token =
      slot.grammar ? sample_within(slot.sampler.get(), *slot.grammar, vocab_, logits)
                   : llama_sampler_sample(slot.sampler.get(), handle_.get(), slot.output_row);
  if (const auto& n_top = slot.request->spec().logprobs) {
    slot.request->add_logprob(logprob_of(vocab_, logits, token, *n_top));
  }
  return token;
}

void Context::accept(std::uint32_t index, llama_token token, Step& step) {
  Slot& slot = slots_[index];
  Request& request = *slot.request;
  const auto produced = slot.n_past - request.spec().prompt.size() + 1;
  request.count_token();
  step.completion_tokens += 1;
  slot.next_token = token;
  bool stopped = llama_vocab_is_eog(vocab_, token);
  if (!stopped) {
    const std::string piece = piece_of(vocab_, token);
    if (slot.grammar) slot.grammar->accept(piece);
    request.emit(slot.text.push(piece));
    stopped = slot.text.stopped() || (slot.grammar && slot.grammar->must_end());
  }
  const bool full = produced >= request.spec().max_tokens || slot.n_past >= spec_.n_ctx;
  if (!stopped && !full) return;
  request.emit(slot.text.flush());
  step.endings.push_back(end(index, stopped ? "stop" : "length", nullptr));
}

std::vector<Ending> Context::fail_all(const std::exception_ptr& error) {
  std::vector<Ending> endings;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].request) endings.push_back(end(i, "", error));
  }
  return endings;
}

Ending Context::end(std::uint32_t index, const std::string& reason, std::exception_ptr error) {
  Ending ending{slots_[index].request, reason, std::move(error)};
  llama_memory_seq_rm(llama_get_memory(handle_.get()), static_cast<llama_seq_id>(index), -1, -1);
  slots_[index] = Slot{};
  active_ -= 1;
  return ending;
}

}  // namespace lmx
