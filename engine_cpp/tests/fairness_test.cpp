#include "lmx/running/fairness.hpp"

#include <vector>

#include "check.hpp"

using namespace lmx;

TEST("the one that has had least is next, of those that want to run") {
  const std::vector<Share> shares = {{true, 3}, {false, 1}, {true, 2}};
  CHECK(next_share(shares) == 2);
  CHECK(!next_share(std::vector<Share>{{false, 1}}));
}

TEST("time in which nothing was wanted gives no claim") {
  const std::vector<Share> shares = {{true, 30}, {true, 20}, {false, 5}};
  CHECK(used_on_return(shares, 5) == 20);
  CHECK(used_on_return(shares, 25) == 25);
  CHECK(used_on_return({}, 5) == 5);
}

TEST("contexts get equal time, however long their decodes are") {
  std::vector<Share> shares = {{true, 0}, {true, 0}};
  const std::vector<double> decode_s = {0.01, 0.07};
  for (int i = 0; i < 1000; ++i) {
    const auto next = *next_share(shares);
    shares[next].used_s += decode_s[next];
  }
  CHECK(shares[0].used_s - shares[1].used_s < 0.08);
  CHECK(shares[1].used_s - shares[0].used_s < 0.08);
}

TEST("prompts are taken in bites that last about three decodes of the streams") {
  CHECK(prefill_bite(0.1, 0.003, 512) == 100);
  CHECK(prefill_bite(10.0, 0.003, 512) == 512);
  CHECK(prefill_bite(0.001, 0.001, 512) == 50);
  CHECK(prefill_bite(0.1, 1.0, 512) == 8);
  CHECK(prefill_bite(0.1, 1.0, 4) == 4);
}

TEST("an exact prefill stops at the multiples of a chunk, and goes one by one behind the prompt") {
  CHECK(exact_bite(0, 1000, 512) == 512);
  CHECK(exact_bite(512, 1000, 512) == 488);
  CHECK(exact_bite(100, 1000, 512) == 412);
  CHECK(exact_bite(1000, 1000, 512) == 1);
  CHECK(exact_bite(1010, 1000, 512) == 1);
}

TEST("a quantum is long beside what moving costs") {
  CHECK(quantum_s(2, 0.001, 0.1) == 2);
  CHECK(quantum_s(2, 1, 0) == 20);
  CHECK(quantum_s(2, 0.001, 3) == 12);
}
