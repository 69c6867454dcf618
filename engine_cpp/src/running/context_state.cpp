// The keys and values of a slot as bytes, out of the context and in again.
#include <algorithm>

#include "lmx/base/log.hpp"
#include "lmx/llama/sequence_state.hpp"
#include "lmx/running/context.hpp"

namespace lmx {

Bytes Context::state_bytes(std::uint32_t index) const {
  return llama_state_seq_get_size(handle_.get(), static_cast<llama_seq_id>(index));
}

Bytes Context::save(std::uint32_t index, std::span<std::byte> into) const {
  return llama_state_seq_get_data(handle_.get(), reinterpret_cast<std::uint8_t*>(into.data()),
                                  into.size(), static_cast<llama_seq_id>(index));
}

Bytes Context::restored_bytes(std::span<const std::byte> bytes) const {
  const auto state = memory_.plain() ? read_state(bytes) : std::nullopt;
  return state && state->streams != spec_.n_seq ? state_size(*state, spec_.n_seq) : 0;
}

bool Context::restore(std::uint32_t index, const Parked& parked, std::span<const std::byte> bytes,
                      std::span<std::byte> scratch) {
  clear(index);
  if (!scratch.empty()) {
    write_state(*read_state(bytes), spec_.n_seq, scratch);
    bytes = scratch;
  }
  const ErrorCapture errors;
  const auto read =
      llama_state_seq_set_data(handle_.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()),
                               bytes.size(), static_cast<llama_seq_id>(index));
  const auto last =
      llama_memory_seq_pos_max(llama_get_memory(handle_.get()), static_cast<llama_seq_id>(index));
  if (read != bytes.size() || last + 1 != static_cast<llama_pos>(parked.tokens.size()) ||
      parked.tokens.size() > spec_.n_ctx) {
    trim(index, 0);
    return false;
  }
  Slot& slot = slots_[index];
  slot.tokens.assign(parked.tokens.begin(), parked.tokens.end());
  slot.n_past = static_cast<std::uint32_t>(slot.tokens.size());
  slot.exact_until = memory_.exact_restore() ? std::min(parked.exact_until, slot.n_past) : 0;
  slot.session = parked.session;
  slot.last_used = Clock::now();
  parked_ += 1;
  return true;
}

}  // namespace lmx
