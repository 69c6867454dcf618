#include "lmx/memory/ledger.hpp"

#include "check.hpp"

using namespace lmx;

namespace {

std::optional<Denial> reserve(Ledger& ledger, std::vector<Claim> claims) {
  return ledger.reserve(claims);
}

}  // namespace

TEST("what is reserved is used until it is released") {
  Ledger ledger(100);
  CHECK(!reserve(ledger, {{"model", Kind::weights, 60}, {"context", Kind::kv, 30}}));
  CHECK(ledger.used() == 90 && ledger.free() == 10);
  CHECK(ledger.held(Kind::weights) == 60 && ledger.held("context") == 30);
  CHECK(ledger.release("model") == 60);
  CHECK(ledger.free() == 70);
}

TEST("a denial carries what was needed, the cap and what is free") {
  Ledger ledger(100);
  CHECK(!reserve(ledger, {{"model", Kind::weights, 80}}));
  const auto denial = reserve(ledger, {{"other", Kind::weights, 20}, {"other", Kind::kv, 1}});
  CHECK(denial && denial->needs == 21 && denial->cap == 100 && denial->free == 20);
}

TEST("a denied reservation books none of its claims") {
  Ledger ledger(10);
  CHECK(reserve(ledger, {{"a", Kind::kv, 5}, {"b", Kind::kv, 6}}).has_value());
  CHECK(ledger.used() == 0 && ledger.entries().empty());
}

TEST("the last free byte can be reserved, and not one more") {
  Ledger ledger(10);
  CHECK(!reserve(ledger, {{"a", Kind::kv, 10}}));
  CHECK(!reserve(ledger, {{"b", Kind::kv, 0}}));
  CHECK(reserve(ledger, {{"b", Kind::kv, 1}}).has_value());
}

TEST("claims whose sum overflows are denied") {
  Ledger ledger(kMaxBytes - 1);
  CHECK(reserve(ledger, {{"a", Kind::kv, kMaxBytes}, {"b", Kind::kv, 2}}).has_value());
  CHECK(!reserve(ledger, {{"a", Kind::kv, kMaxBytes - 1}}));
  CHECK(ledger.free() == 0);
}

TEST("a second claim of the same holder and kind adds to the first") {
  Ledger ledger(10);
  CHECK(!reserve(ledger, {{"a", Kind::kv, 3}}));
  CHECK(!reserve(ledger, {{"a", Kind::kv, 4}}));
  CHECK(ledger.held("a", Kind::kv) == 7 && ledger.entries().size() == 1);
}

TEST("a measured fact may pass the cap, and then nothing is free") {
  Ledger ledger(10);
  ledger.set("driver", Kind::foreign, 25);
  CHECK(ledger.used() == 25 && ledger.free() == 0);
  ledger.set("driver", Kind::foreign, 0);
  CHECK(ledger.free() == 10 && ledger.entries().empty());
}

TEST("releasing an unknown holder frees nothing") {
  Ledger ledger(10);
  CHECK(ledger.release("nobody") == 0);
}
