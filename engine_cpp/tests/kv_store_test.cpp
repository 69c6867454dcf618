#include "lmx/sessions/kv_store.hpp"

#include "kv_store_fixture.hpp"

using namespace lmx;
using check::StoreFixture;
using check::tokens_from;

namespace {

constexpr Bytes kKiB = 1024;
constexpr Bytes kIndex = 3 * kKiB;  // more than what these tests' labels take

}  // namespace

TEST("a sequence that was kept is found by its prefix and read as it was") {
  StoreFixture f(kIndex + 100 * kKiB);
  const SavedId id = f.keep("anna", tokens_from(7, 100), 8);
  const auto match = f.find("anna", tokens_from(7, 150));
  CHECK(match && match->id == id && match->usable == 100 && match->total == 100 && match->own);
  CHECK(match->where == Where::ram);
  CHECK(StoreFixture::holds(f.store->read(id), 8, 7));
  CHECK(f.store->read(id)->label->tokens == tokens_from(7, 100));
}

TEST("a prefix shorter than a block counts, and none at all is no match") {
  StoreFixture f(kIndex + 100 * kKiB);
  f.keep("anna", {1, 2, 3, 4}, 8);
  CHECK(f.find("", {1, 2, 9})->usable == 2);
  CHECK(!f.find("", {2, 1}));
  CHECK(!f.store->find({.fingerprint = "other", .session = "anna", .tokens = Tokens{1, 2}}));
}

TEST("the longest prefix wins, whoever's it is; among equals one's own") {
  StoreFixture f(kIndex + 100 * kKiB);
  f.keep("anna", tokens_from(0, 64), 8);
  const SavedId longer = f.keep("bob", tokens_from(0, 80), 8);
  const SavedId equal = f.keep("carl", tokens_from(0, 90), 8);
  CHECK(f.find("anna", tokens_from(0, 85))->id == equal);
  CHECK(f.find("bob", tokens_from(0, 80))->id == longer);
  CHECK(f.find("dora", tokens_from(0, 200))->id == equal);
}

TEST("a memory that cannot be trimmed only takes whole sequences") {
  StoreFixture f(kIndex + 100 * kKiB);
  const SavedId fits = f.keep("anna", tokens_from(0, 40), 8);
  f.keep("bob", tokens_from(0, 90), 8);
  const Tokens prompt = tokens_from(0, 60);
  const auto match = f.store->find({.fingerprint = "m", .tokens = prompt, .whole = true});
  CHECK(match && match->id == fits && match->usable == 40);
}

TEST("a deterministic request reuses only what was computed in whole chunks") {
  StoreFixture f(kIndex + 100 * kKiB);
  const Tokens prompt = tokens_from(0, 100);
  f.keep("anna", prompt, 8);  // exact until 50
  const auto match = f.store->find({.fingerprint = "m", .tokens = prompt, .exact = true});
  CHECK(match && match->usable == 50 && match->common == 100);
}

TEST("a later state of a session takes the place of the earlier one") {
  StoreFixture f(kIndex + 100 * kKiB);
  f.keep("anna", tokens_from(0, 40), 8);
  f.keep("anna", tokens_from(0, 50), 8);
  const KvStoreView view = f.store->view();
  CHECK(view.sequences.size() == 1 && view.sequences[0].tokens == 50);
  CHECK(view.counters.lost.superseded == 1);
}

TEST("an anonymous sequence goes when one comes that begins with it") {
  StoreFixture f(kIndex + 100 * kKiB);
  f.keep("", tokens_from(0, 40), 8);
  f.keep("", tokens_from(1, 40), 8);
  f.keep("anna", tokens_from(0, 50), 8);
  CHECK(f.store->view().sequences.size() == 2);
}

TEST("what is taken is no longer kept, and its bytes live as long as they are held") {
  StoreFixture f(kIndex + 100 * kKiB);
  const SavedId id = f.keep("anna", tokens_from(7, 40), 8);
  auto taken = f.store->take(id);
  CHECK(!f.find("anna", tokens_from(7, 40)) && !f.store->read(id));
  CHECK(StoreFixture::holds(taken, 8, 7));
  CHECK(f.store->view().ram_bytes == 8 * kKiB);
  taken.reset();
  CHECK(f.store->view().ram_bytes == 0 && f.store->view().idle_bytes == 8 * kKiB);
}

TEST("without a disk the sequence that is worth least goes first: old, cheap, large") {
  StoreFixture f(kIndex + 96 * kKiB);
  f.keep("old", tokens_from(0, 40), 24);
  f.pass(100);
  f.keep("cheap", tokens_from(100, 40), 24, 0.1);
  f.keep("dear", tokens_from(200, 40), 24, 10);
  f.keep("usual", tokens_from(300, 40), 24);
  f.pass(1);
  f.keep("next", tokens_from(400, 40), 24);
  CHECK(!f.find("old", tokens_from(0, 40)));
  f.keep("one more", tokens_from(500, 40), 24);
  CHECK(!f.find("cheap", tokens_from(100, 40)) && f.find("dear", tokens_from(200, 40)));
  CHECK(f.store->view().counters.lost.ram_full == 2);
}

TEST("what is worth less than all that is kept is refused, and so is what is too large") {
  StoreFixture f(kIndex + 64 * kKiB);
  f.keep("dear", tokens_from(0, 40), 64, 100);
  const Room worth_less = f.store->room({.bytes = 8 * kKiB, .cost_s = 1e-6});
  CHECK(!worth_less && worth_less.why == NoRoom::worth_less);
  const Room too_large = f.store->room({.bytes = 200 * kKiB, .cost_s = 1e6});
  CHECK(!too_large && too_large.why == NoRoom::too_large);
  CHECK(f.find("dear", tokens_from(0, 40)) && f.store->view().counters.refused == 2);
}

TEST("what somebody holds is not dropped for another") {
  StoreFixture f(kIndex + 64 * kKiB);
  const SavedId id = f.keep("anna", tokens_from(7, 40), 64);
  const auto held = f.store->read(id);
  CHECK(!f.store->room({.bytes = 32 * kKiB, .cost_s = 1e6}));
  CHECK(StoreFixture::holds(held, 64, 7) && f.store->read(id));
}

TEST("a session can be forgotten") {
  StoreFixture f(kIndex + 64 * kKiB);
  f.keep("anna", tokens_from(0, 40), 8);
  f.keep("bob", tokens_from(0, 40), 8);
  CHECK(f.store->forget("anna") == 1 && f.store->forget("anna") == 0);
  CHECK(f.find("", tokens_from(0, 40))->own == false && f.store->view().sequences.size() == 1);
}

TEST("room for others in the same memory is made by dropping sequences") {
  StoreFixture f(kIndex + 64 * kKiB);
  f.keep("anna", tokens_from(0, 40), 32, 50);
  f.keep("bob", tokens_from(0, 40), 32, 1);
  CHECK(f.store->make_room(32 * kKiB, true));
  CHECK(f.host->free() >= 32 * kKiB && f.find("anna", tokens_from(0, 40))->own);
  CHECK(!f.store->make_room(kIndex + 65 * kKiB, true));
}

TEST("the index of what is kept is booked too, and given back") {
  StoreFixture f(32 * kKiB);
  f.keep("anna", tokens_from(0, 4000), 8);
  CHECK(f.host->now().held("saved sequences: index") > 4000 * sizeof(std::int32_t));
  CHECK(f.keep("bob", tokens_from(9000, 40), 4) != 0);
  CHECK(f.keep("too many tokens", tokens_from(0, 9000), 4) == 0);
  f.store.reset();
  CHECK(f.host->now().used() == 0);
}

TEST("a store without memory keeps nothing and fails nobody") {
  StoreFixture f(0);
  CHECK(f.store->room({.bytes = 1, .cost_s = 1}).why == NoRoom::too_large);
  CHECK(!f.find("anna", {1, 2, 3}) && !f.store->read(1) && !f.store->take(1));
  CHECK(f.store->spill_all(0) == 0);
  f.store->prefetch(1);
}
