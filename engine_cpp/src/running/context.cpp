// The life of a context and of what is in its slots.
#include "lmx/running/context.hpp"

#include <algorithm>

#include "lmx/base/errors.hpp"

namespace lmx {
namespace {

MemoryTraits traits_of(const llama_model* model, const ContextSpec& spec) {
  MemoryTraits traits;
  traits.can_trim = !llama_model_is_recurrent(model) && !llama_model_is_hybrid(model);
  traits.window = static_cast<std::uint32_t>(std::max(0, llama_model_n_swa(model)));
  traits.chunk = spec.n_ubatch;
  return traits;
}

}  // namespace

void Ending::announce() const {
  if (error) {
    request->fail(error);
  } else {
    request->finish(reason);
  }
}

Context::Context(std::string id, std::shared_ptr<ResidentModel> model, const ContextSpec& spec,
                 const ContextOptions& options)
    : id_(std::move(id)),
      model_(std::move(model)),
      spec_(spec),
      options_(options),
      vocab_(llama_model_get_vocab(model_->handle.get())),
      memory_(traits_of(model_->handle.get(), spec)) {
  const auto began = Clock::now();
  ContextSpec made = spec_;
  made.n_ubatch = std::max(spec_.n_ubatch, options_.n_batch);
  handle_ = make_context(model_->handle.get(), made, options_.threads,
                         model_->callbacks(should_abort, this));
  batch_ = std::make_unique<Batch>(llama_n_batch(handle_.get()));
  slots_.resize(spec_.n_seq);
  build_s_ = seconds_between(began, Clock::now());
}

Context::~Context() = default;

Footprint Context::footprint(const Device& device) const {
  return lmx::footprint(handle_.get(), spec_, device);
}

void Context::warm_up() {
  const llama_token token = std::max<llama_token>(llama_vocab_bos(vocab_), 0);
  batch_->clear();
  for (std::uint32_t i = 0; batch_->room() > 0; ++i) {
    batch_->add(token, i / spec_.n_seq, i % spec_.n_seq, spec_.embeds() || i < spec_.n_seq);
  }
  decode_batch();
  llama_memory_clear(llama_get_memory(handle_.get()), false);
}

std::vector<Held> Context::held(const std::string& session) const {
  const auto now = Clock::now();
  std::vector<Held> all;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    // A text is pooled over all of its tokens: it goes on from nothing.
    Held& one = all.emplace_back(
        Held{.tokens = spec_.embeds() ? std::span<const llama_token>() : slot.cached(),
             .exact_until = slot.exact_until,
             .running = slot.running(),
             .anonymous = slot.session.empty()});
    one.own = !session.empty() && slot.session == session;
    if (memory_.window > 0) {
      const auto first =
          llama_memory_seq_pos_min(llama_get_memory(handle_.get()), static_cast<llama_seq_id>(i));
      one.first = static_cast<std::uint32_t>(std::max(0, first));
    }
    constexpr double kNamed = 10;  // a conversation goes on more often than another begins alike
    one.worth = prefill_s(slot.n_past) / (1 + seconds_between(slot.last_used, now)) *
                (one.anonymous ? 1 : kNamed);
  }
  return all;
}

std::unique_ptr<Generation> Context::begin(std::shared_ptr<Request> request) const {
  return std::make_unique<Generation>(std::move(request), vocab_);
}

void Context::add(std::unique_ptr<Generation> generation, std::uint32_t index, std::uint32_t keep) {
  Slot& slot = slots_[index];
  if (slot.parked()) parked_ -= 1;
  slot.n_past = trim(index, keep);
  slot.exact_until = std::min(slot.exact_until, slot.n_past);
  slot.tokens.clear();
  slot.session = generation->request->spec().session;
  generation->answering = false;
  generation->began = Clock::now();
  generation->request->enter(Phase::prefill);
  if (generation->produced() == 0) generation->request->set_cached_tokens(slot.n_past);
  slot.generation = std::move(generation);
  active_ += 1;
}

std::unique_ptr<Generation> Context::suspend(std::uint32_t index) {
  std::unique_ptr<Generation> generation = std::move(slots_[index].generation);
  slots_[index].tokens.assign(generation->tokens.begin(),
                              generation->tokens.begin() + slots_[index].n_past);
  generation->reached = slots_[index].n_past;
  park(index);
  generation->request->enter(Phase::suspended);
  return generation;
}

void Context::clear(std::uint32_t index) {
  if (slots_[index].parked()) parked_ -= 1;
  trim(index, 0);
  slots_[index] = Slot{};
}

// Keeps the first `n` tokens of what the cache holds, or none where its memory cannot.
std::uint32_t Context::trim(std::uint32_t index, std::uint32_t n) {
  const auto memory = llama_get_memory(handle_.get());
  const auto sequence = static_cast<llama_seq_id>(index);
  if (n > 0 && n == slots_[index].n_past) return n;
  if (n > 0 && llama_memory_seq_rm(memory, sequence, static_cast<llama_pos>(n), -1)) return n;
  llama_memory_seq_rm(memory, sequence, -1, -1);
  return 0;
}

void Context::park(std::uint32_t index) {
  Slot& slot = slots_[index];
  slot.last_used = Clock::now();
  active_ -= 1;
  if (slot.parked()) {
    parked_ += 1;
  } else {
    slot = Slot{};
  }
}

std::vector<Ending> Context::fail_all(const std::exception_ptr& error) {
  std::vector<Ending> endings;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].running()) endings.push_back(end(i, "", error));
  }
  return endings;
}

Ending Context::end(std::uint32_t index, const std::string& reason, std::exception_ptr error) {
  Slot& slot = slots_[index];
  Ending ending{slot.generation->request, reason, std::move(error)};
  slot.generation->tokens.resize(slot.n_past);
  slot.tokens = std::move(slot.generation->tokens);
  slot.generation.reset();
  park(index);
  return ending;
}

}  // namespace lmx
