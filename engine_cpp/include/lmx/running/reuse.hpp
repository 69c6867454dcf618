// Which of the keys and values at hand a request may go on from. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace lmx {

// What the memory of a model's contexts can do.
struct MemoryTraits {
  bool can_trim = true;       // recurrent states cannot forget their last tokens
  std::uint32_t window = 0;   // tokens that a sliding window looks back on; 0 is all
  std::uint32_t chunk = 512;  // tokens of one whole chunk of an exact prefill

  // Whether a saved sequence fits into contexts of any number of slots.
  bool plain() const { return can_trim && window == 0; }
  // Whether a restored sequence lies in memory as it did before, so that later bits are the same.
  bool exact_restore() const { return window == 0; }
};

// A sequence whose keys and values are at hand.
struct Held {
  std::span<const std::int32_t> tokens;
  std::uint32_t first = 0;  // position of the first token that is still there (sliding windows)
  std::uint32_t exact_until = 0;
  bool running = false;
  bool own = false;  // of the session that asks
  bool anonymous = true;
  double worth = 0;  // what losing it would cost
};

// What is asked for: these tokens, the last of which must be decoded for its logits.
struct Wanted {
  std::span<const std::int32_t> tokens;
  bool exact = false;  // only what was computed alone, in whole chunks
};

// Leading tokens of `wanted` that need no prefill when it goes on from `held`; 0 is none.
std::uint32_t usable_prefix(const Held& held, const Wanted& wanted, const MemoryTraits& memory);

// Where a request goes: into `slot`, keeping `keep` of its tokens, or, with `copy_from`, after
// having taken over that slot's sequence, of which it keeps `keep`.
struct Placement {
  std::size_t slot = 0;
  std::uint32_t keep = 0;
  std::optional<std::size_t> copy_from;
};

// Chooses among the slots of a context; nothing when all are running. A session's own parked slot
// comes first, then an empty one, then the parked one whose loss costs least. Tokens of another
// sequence are copied where that saves at least `kWorthCopying` tokens of prefill.
inline constexpr std::uint32_t kWorthCopying = 32;
std::optional<Placement> choose_slot(std::span<const Held> slots, const Wanted& wanted,
                                     const MemoryTraits& memory);

}  // namespace lmx
