#include "lmx/memory/foreign.hpp"

#include "check.hpp"

using namespace lmx;

namespace {

Ledger books(std::vector<Claim> claims) {
  Ledger ledger(1000);
  ledger.reserve(claims);
  return ledger;
}

}  // namespace

TEST("what the driver reports and nobody here has booked belongs to others") {
  Ledger ledger = books({{"model", Kind::weights, 100}});
  ForeignMemory foreign;
  foreign.book(ledger, 400);
  CHECK(ledger.held("other processes") == 300);
  CHECK(ledger.used() == 400);
}

TEST("a process with a name takes its part of what the driver reports, not more") {
  Ledger ledger = books({{"model", Kind::weights, 100}});
  ForeignMemory foreign;
  foreign.see({.own = 100, .others = {{{"game (7)", 250, ""}}}});
  foreign.book(ledger, 400);
  CHECK(ledger.held("game (7)") == 250);
  CHECK(ledger.held("other processes") == 50);
  CHECK(ledger.used() == 400);
}

TEST("a process that has ended since the look counts no longer than the driver says") {
  Ledger ledger = books({{"model", Kind::weights, 100}});
  ForeignMemory foreign;
  foreign.see({.own = 100, .others = {{{"small (8)", 50, ""}, {"game (7)", 250, ""}}}});
  foreign.book(ledger, 400);
  CHECK(foreign.book(ledger, 350));
  CHECK(ledger.held("game (7)") == 250 && ledger.held("small (8)") == 0);
  CHECK(foreign.book(ledger, 100));
  CHECK(ledger.held(Kind::foreign) == 0);
}

TEST("what this process takes beyond its bookings is told apart from others") {
  Ledger ledger = books({{"model", Kind::weights, 100}});
  ForeignMemory foreign;
  foreign.see({.own = 130, .others = {{}}});
  foreign.book(ledger, 130);
  CHECK(ledger.held("driver and library of this process") == 30);
  CHECK(ledger.used() == 130);
}

TEST("bytes that are booked and not yet allocated do not hide another process") {
  Ledger ledger = books({{"model", Kind::weights, 300}});
  ForeignMemory foreign;
  foreign.see({.own = 20, .others = {{{"game (7)", 200, ""}}}});
  foreign.book(ledger, 220);
  CHECK(ledger.held("game (7)") == 200);
  CHECK(ledger.used() == 500);
}

TEST("what runs under a hold counts only where it goes beyond the hold") {
  Ledger ledger = books({{hold_id("1 train"), Kind::foreign, 200}});
  ForeignMemory foreign;
  foreign.see({.own = 0, .others = {{{"train (9)", 150, "1 train"}}}});
  foreign.book(ledger, 150);
  CHECK(ledger.used() == 200);
  foreign.see({.own = 0, .others = {{{"train (9)", 150, "1 train"}, {"ray (10)", 80, "1 train"}}}});
  foreign.book(ledger, 230);
  CHECK(ledger.used() == 230);
}

TEST("a hold whose command has not begun does not hide another process") {
  Ledger ledger = books({{hold_id("1 train"), Kind::foreign, 200}});
  ForeignMemory foreign;
  foreign.see({.own = 0, .others = {{{"game (7)", 150, ""}}}});
  foreign.book(ledger, 150);
  CHECK(ledger.used() == 350);
}

TEST("without a list of processes a hold is taken to be part of what is in use") {
  Ledger ledger = books({{hold_id("1 train"), Kind::foreign, 200}});
  ForeignMemory foreign;
  foreign.book(ledger, 150);
  CHECK(ledger.used() == 200);
  foreign.book(ledger, 260);
  CHECK(ledger.used() == 260);
}

TEST("where no driver tells, the processes are believed") {
  Ledger ledger = books({{"model", Kind::weights, 100}});
  ForeignMemory foreign;
  foreign.see({.own = {}, .others = {{{"game (7)", 250, ""}}}});
  CHECK(!foreign.book(ledger, std::nullopt));
  CHECK(ledger.used() == 350);
  foreign.see({.own = {}, .others = {{}}});
  CHECK(foreign.book(ledger, std::nullopt));
  CHECK(ledger.used() == 100);
}

TEST("a measured fact may pass the cap") {
  Ledger ledger = books({{"model", Kind::weights, 900}});
  ForeignMemory foreign;
  foreign.book(ledger, 1300);
  CHECK(ledger.used() == 1300 && ledger.free() == 0);
}

TEST("two processes of one name are both booked") {
  Ledger ledger(1000);
  ForeignMemory foreign;
  foreign.see({.own = 0, .others = {{{"python", 100, ""}, {"python", 60, ""}}}});
  foreign.book(ledger, 160);
  CHECK(ledger.held("python") == 160);
  foreign.book(ledger, 160);
  CHECK(ledger.used() == 160);
}
