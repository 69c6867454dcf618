#include "lmx/running/reuse.hpp"

#include <algorithm>

namespace lmx {
namespace {

std::uint32_t equal_tokens(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  const auto n = static_cast<std::ptrdiff_t>(std::min(a.size(), b.size()));
  const auto [at, other] = std::mismatch(a.begin(), a.begin() + n, b.begin());
  return static_cast<std::uint32_t>(at - a.begin());
}

// An anonymous sequence may be cut down to what the request shares with it, where that is most of
// it: continuing a text is the common case, and a copy would leave two of the same.
bool may_take_over(const Held& held, std::uint32_t usable) {
  return held.anonymous && !held.running && usable > 0 && 2 * usable >= held.tokens.size();
}

// Lower is better: own, one to take over, empty, then by what is lost.
struct Rank {
  int kind = 0;
  double worth = 0;
  auto operator<=>(const Rank&) const = default;
};

Rank rank(const Held& held, std::uint32_t usable) {
  if (held.own) return {0, -static_cast<double>(usable)};
  if (may_take_over(held, usable)) return {1, -static_cast<double>(usable)};
  if (held.tokens.empty()) return {2, 0};
  return {3, held.worth};
}

// Of another slot's sequence. A window is copied with what its last token looks back on, no more.
bool may_copy(const Held& held, std::uint32_t usable, bool exact, const MemoryTraits& memory) {
  if (usable == 0 || (exact && !memory.exact_restore())) return false;
  return memory.window == 0 || usable == held.tokens.size();
}

}  // namespace

std::uint32_t usable_prefix(const Held& held, const Wanted& wanted, const MemoryTraits& memory) {
  if (wanted.tokens.empty()) return 0;
  std::uint32_t n = equal_tokens(held.tokens, wanted.tokens.first(wanted.tokens.size() - 1));
  if (wanted.exact) n = std::min(n, held.exact_until) / memory.chunk * memory.chunk;
  // What lacks its beginning was restored or overwritten: its cells lie otherwise than in a new
  // one.
  if (wanted.exact && memory.window > 0 && held.first > 0) return 0;
  if (n == held.tokens.size()) return n;
  if (!memory.can_trim) return 0;
  if (memory.window > 0 && held.first + memory.window > n && held.first > 0) return 0;
  return n;
}

std::optional<Placement> choose_slot(std::span<const Held> slots, const Wanted& wanted,
                                     const MemoryTraits& memory) {
  std::optional<Placement> best;
  std::optional<Placement> source;
  Rank best_rank;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::uint32_t usable = usable_prefix(slots[i], wanted, memory);
    const bool copyable = may_copy(slots[i], usable, wanted.exact, memory);
    if (copyable && (!source || usable > source->keep)) source = {i, usable, std::nullopt};
    if (slots[i].running) continue;
    const Rank own_rank = rank(slots[i], usable);
    if (best && best_rank <= own_rank) continue;
    best = {i, usable, std::nullopt};
    best_rank = own_rank;
  }
  if (best && source && source->slot != best->slot && source->keep >= best->keep + kWorthCopying) {
    best->copy_from = source->slot;
    best->keep = source->keep;
  }
  return best;
}

}  // namespace lmx
