// Who takes part in a context's next decode, with how many tokens.
#include <algorithm>

#include "lmx/running/context.hpp"
#include "lmx/running/fairness.hpp"

namespace lmx {

void Context::fill_batch(double others_s) {
  batch_->clear();
  in_batch_.clear();
  for (Slot& slot : slots_) {
    slot.batched = 0;
    slot.output_row = -1;
  }
  const std::vector<std::uint32_t> turn = next_turn();
  add_streams(turn);
  add_prompts(turn, others_s);
}

// The slots of the next decode. Turn 0 is for all in throughput mode together; a deterministic
// request in slot i has turn i + 1 for itself, or with as many others as were proven harmless.
std::vector<std::uint32_t> Context::next_turn() {
  std::vector<std::uint32_t> together;
  std::vector<std::uint32_t> alone;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].may_decode()) continue;
    (slots_[i].generation->exact() ? alone : together).push_back(i);
  }
  const auto next = std::ranges::upper_bound(alone, last_turn_, {}, [](auto i) { return i + 1; });
  if (next == alone.end() && !together.empty()) {
    last_turn_ = 0;
    return together;
  }
  if (alone.empty()) return {};
  std::rotate(alone.begin(), next == alone.end() ? alone.begin() : next, alone.end());
  std::vector<std::uint32_t> turn = {alone.front()};
  if (slots_[alone.front()].streaming()) {
    const std::uint32_t most = slots_[alone.front()].generation->request->spec().exact_batch;
    for (std::size_t k = 1; k < alone.size() && turn.size() < most; ++k) {
      if (alone[k] > turn.back() && slots_[alone[k]].streaming()) turn.push_back(alone[k]);
    }
  }
  last_turn_ = turn.back() + 1;
  return turn;
}

void Context::add_streams(const std::vector<std::uint32_t>& turn) {
  for (std::uint32_t i : turn) {
    if (slots_[i].streaming() && batch_->room() > 0) add_to_batch(i, 1);
  }
}

// An exact prefill is cut at the multiples of a chunk from position 0, and what was generated
// before a suspension is decoded token by token as it was then.
// A pass over a streamed model takes its time however little it decodes: no use in small bites.
void Context::add_prompts(const std::vector<std::uint32_t>& turn, double others_s) {
  std::uint32_t budget = batch_->capacity();
  if (batch_->count() > 0) {
    budget = prefill_bite(stream_s_, prefill_token_s_, budget);
  } else if (others_s > 0 && !model_->streamer && !spec_.embeds()) {
    budget = prefill_bite(others_s, prefill_token_s_, budget);
  }
  std::vector<std::uint32_t> order = turn;
  if (spec_.embeds()) {  // whole texts only, so that the one that waits longest must come first
    std::ranges::sort(order, {}, [&](auto i) { return slots_[i].generation->began; });
  }
  for (std::uint32_t i : order) {
    const Slot& slot = slots_[i];
    if (slot.streaming()) continue;
    if (spec_.embeds() && slot.behind() > batch_->room()) break;
    std::uint32_t n = std::min({slot.behind(), budget, batch_->room()});
    if (slot.generation->exact()) {
      n = exact_bite(slot.n_past, slot.generation->prompt_size(), memory_.chunk);
    }
    if (n == 0) break;
    add_to_batch(i, n);
    budget -= std::min(n, budget);
  }
}

void Context::add_to_batch(std::uint32_t index, std::uint32_t n) {
  Slot& slot = slots_[index];
  const Generation& generation = *slot.generation;
  for (std::uint32_t position = slot.n_past; position < slot.n_past + n; ++position) {
    const bool last = position + 1 == generation.size();
    const auto row =
        batch_->add(generation.tokens[position], position, index, last || spec_.embeds());
    if (last) slot.output_row = row;
  }
  slot.batched = n;
  in_batch_.push_back(generation.request.get());
}

}  // namespace lmx
