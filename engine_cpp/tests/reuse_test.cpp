#include "lmx/running/reuse.hpp"

#include <numeric>

#include "check.hpp"

using namespace lmx;

namespace {

using Tokens = std::vector<std::int32_t>;

Tokens upto(std::int32_t n, std::int32_t from = 0) {
  Tokens tokens(static_cast<std::size_t>(n));
  std::iota(tokens.begin(), tokens.end(), from);
  return tokens;
}

Tokens operator+(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

TEST("the common beginning is usable, but the last token is decoded again for its logits") {
  const Tokens held = upto(100);
  const MemoryTraits memory;
  CHECK(usable_prefix({.tokens = held}, {upto(120)}, memory) == 100);
  CHECK(usable_prefix({.tokens = held}, {held}, memory) == 99);
  CHECK(usable_prefix({.tokens = held}, {upto(50) + upto(50, 1000)}, memory) == 50);
  CHECK(usable_prefix({.tokens = held}, {upto(10, 7)}, memory) == 0);
  CHECK(usable_prefix({.tokens = held}, {Tokens{}}, memory) == 0);
}

TEST("a state that cannot forget is of use only as a whole") {
  const Tokens held = upto(100);
  const MemoryTraits recurrent{.can_trim = false};
  CHECK(usable_prefix({.tokens = held}, {upto(101)}, recurrent) == 100);
  CHECK(usable_prefix({.tokens = held}, {held}, recurrent) == 0);
  CHECK(usable_prefix({.tokens = held}, {upto(50) + upto(80, 1000)}, recurrent) == 0);
}

TEST("behind a sliding window, what the next token looks back on must be there") {
  const Tokens held = upto(100);
  const MemoryTraits memory{.window = 16};
  const Tokens shorter = upto(60) + upto(60, 1000);
  CHECK(usable_prefix({.tokens = held, .first = 0}, {shorter}, memory) == 60);
  CHECK(usable_prefix({.tokens = held, .first = 44}, {shorter}, memory) == 60);
  CHECK(usable_prefix({.tokens = held, .first = 45}, {shorter}, memory) == 0);
  CHECK(usable_prefix({.tokens = held, .first = 85}, {upto(120)}, memory) == 100);
}

TEST("an exact request goes on behind a window only while its beginning is there") {
  const Tokens held = upto(100);
  const MemoryTraits memory{.window = 16, .chunk = 32};
  const auto exact = [&](std::uint32_t first) {
    return usable_prefix({.tokens = held, .first = first, .exact_until = 96}, {upto(120), true},
                         memory);
  };
  CHECK(exact(0) == 96);
  CHECK(exact(20) == 0);
}

TEST("a window is copied whole or not at all, and never for an exact request") {
  const Tokens held = upto(100);
  const MemoryTraits memory{.window = 16, .chunk = 32};
  const std::vector<Held> slots = {{.tokens = held, .exact_until = 96, .running = true},
                                   {.tokens = {}}};
  const auto whole = choose_slot(slots, {upto(120)}, memory);
  CHECK(whole && whole->slot == 1 && whole->keep == 100 && whole->copy_from == 0);
  const auto part = choose_slot(slots, {upto(60) + upto(60, 1000)}, memory);
  CHECK(part && part->slot == 1 && part->keep == 0 && !part->copy_from);
  const auto exact = choose_slot(slots, {upto(120), true}, memory);
  CHECK(exact && exact->slot == 1 && exact->keep == 0 && !exact->copy_from);
}

TEST("an exact request goes on only from whole chunks that were computed alone") {
  const Tokens held = upto(100);
  const MemoryTraits memory{.chunk = 32};
  const auto exact = [&](std::uint32_t until, const Tokens& wanted) {
    return usable_prefix({.tokens = held, .exact_until = until}, {wanted, true}, memory);
  };
  CHECK(exact(0, upto(120)) == 0);
  CHECK(exact(96, upto(120)) == 96);
  CHECK(exact(96, upto(70)) == 64);
  CHECK(exact(96, upto(65)) == 64);
  CHECK(exact(96, upto(64)) == 32);
}

TEST("a session goes on in its own slot") {
  const Tokens a = upto(100);
  const Tokens b = upto(100, 5000);
  const std::vector<Held> slots = {
      {.tokens = {}}, {.tokens = b}, {.tokens = a, .own = true, .anonymous = false}};
  const auto place = choose_slot(slots, {upto(150)}, {});
  CHECK(place && place->slot == 2 && place->keep == 100 && !place->copy_from);
}

TEST("an anonymous text is continued where it lies, and copied where only little is shared") {
  const Tokens a = upto(200);
  const std::vector<Held> slots = {{.tokens = {}}, {.tokens = a}};
  const auto on = choose_slot(slots, {upto(250)}, {});
  CHECK(on && on->slot == 1 && on->keep == 200 && !on->copy_from);
  const auto branch = choose_slot(slots, {upto(50) + upto(50, 9000)}, {});
  CHECK(branch && branch->slot == 0 && branch->keep == 50 && branch->copy_from == 1);
  const auto hardly = choose_slot(slots, {upto(20) + upto(50, 9000)}, {});
  CHECK(hardly && hardly->slot == 0 && !hardly->copy_from);
}

TEST("a running sequence and another session's are copied, never taken") {
  const Tokens a = upto(200);
  const std::vector<Held> slots = {{.tokens = a, .running = true},
                                   {.tokens = a, .anonymous = false, .worth = 9},
                                   {.tokens = {}}};
  const auto place = choose_slot(slots, {upto(250)}, {});
  CHECK(place && place->slot == 2 && place->keep == 200 && place->copy_from == 0);
  CHECK(!choose_slot(std::vector<Held>{slots[0]}, {upto(250)}, {}));
}

TEST("without an empty slot, the parked sequence that is worth least goes") {
  const Tokens a = upto(100);
  const Tokens b = upto(100, 5000);
  const std::vector<Held> slots = {{.tokens = a, .worth = 2}, {.tokens = b, .worth = 1}};
  const auto place = choose_slot(slots, {upto(50, 9000)}, {});
  CHECK(place && place->slot == 1 && place->keep == 0);
}
