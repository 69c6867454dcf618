#include "lmx/running/recent.hpp"

#include <cmath>

#include "check.hpp"

using namespace lmx;

namespace {

bool near(double a, double b) {
  return std::abs(a - b) < 0.01 * std::max(1.0, std::abs(b));
}

// Totals that grow by one decode of `sequences` each 0.1 s.
Totals work(RecentWork& recent, Totals totals, double from_s, double to_s,
            std::uint64_t sequences) {
  const int steps = static_cast<int>(std::lround((to_s - from_s) * 10));
  for (int i = 0; i < steps; ++i) {
    totals.decodes += 1;
    totals.decoded_sequences += sequences;
    totals.completion_tokens += sequences;
    totals.prefill_tokens += 20;
    totals.busy_s += 0.05;
    recent.observe(from_s + 0.1 * i, totals);
  }
  return totals;
}

}  // namespace

TEST("rates are those of the window, not of a lifetime") {
  RecentWork recent;
  Totals totals = work(recent, {}, 0, 60, 1);
  totals = work(recent, totals, 60, 60 + RecentWork::kWindow, 4);
  const Rates rates = recent.rates(60 + RecentWork::kWindow - 0.001);
  CHECK(near(rates.completion_tokens_per_s, 40));
  CHECK(near(rates.prefill_tokens_per_s, 200));
  CHECK(near(rates.batch, 4));
  CHECK(near(rates.busy, 0.5));
  CHECK(rates.window_s > 9.4 && rates.window_s <= RecentWork::kWindow);
}

TEST("a young engine's rates count from its start") {
  RecentWork recent;
  work(recent, {}, 0, 2, 3);
  const Rates rates = recent.rates(2.0);
  CHECK(near(rates.window_s, 2.0));
  CHECK(near(rates.completion_tokens_per_s, 30));
}

TEST("an idle engine's rates fall to 0") {
  RecentWork recent;
  work(recent, {}, 0, 5, 3);
  CHECK(recent.rates(5 + RecentWork::kWindow / 2).completion_tokens_per_s > 0);
  const Rates rates = recent.rates(6 + RecentWork::kWindow);
  CHECK(rates.completion_tokens_per_s == 0 && rates.batch == 0 && rates.busy == 0);
}

TEST("an engine that has done nothing has rates of 0") {
  const Rates rates = RecentWork().rates(0);
  CHECK(rates.completion_tokens_per_s == 0 && rates.window_s == 0);
}

TEST("the speed of swaps is that of the copies, whatever else took time") {
  RecentWork recent;
  Totals totals;
  totals.swaps = {.out_bytes = 3000, .in_bytes = 800, .out_s = 1.5, .in_s = 0.1};
  totals.streamed_bytes = 600;
  totals.stream_copy_s = 0.2;
  recent.observe(5, totals);
  const Rates rates = recent.rates(9);
  CHECK(near(rates.swap_out_bytes_per_s, 2000));
  CHECK(near(rates.swap_in_bytes_per_s, 8000));
  CHECK(near(rates.stream_bytes_per_s, 3000));
}

TEST("time that jumps far ahead leaves nothing of the past") {
  RecentWork recent;
  Totals totals = work(recent, {}, 0, 5, 1);
  totals.completion_tokens += 100;
  recent.observe(1e6, totals);
  CHECK(near(recent.rates(1e6 + 0.5).completion_tokens_per_s,
             100 / recent.rates(1e6 + 0.5).window_s));
}
