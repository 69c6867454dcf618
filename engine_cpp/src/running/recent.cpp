#include "lmx/running/recent.hpp"

#include <algorithm>

namespace lmx {
namespace {

// `to` += `now` - `before`, for every counter.
void add_growth(Totals& to, const Totals& now, const Totals& before) {
  to.requests += now.requests - before.requests;
  to.finished += now.finished - before.finished;
  to.evictions += now.evictions - before.evictions;
  to.decodes += now.decodes - before.decodes;
  to.decoded_sequences += now.decoded_sequences - before.decoded_sequences;
  to.prefill_tokens += now.prefill_tokens - before.prefill_tokens;
  to.completion_tokens += now.completion_tokens - before.completion_tokens;
  to.busy_s += now.busy_s - before.busy_s;
  to.swaps.out_bytes += now.swaps.out_bytes - before.swaps.out_bytes;
  to.swaps.in_bytes += now.swaps.in_bytes - before.swaps.in_bytes;
  to.swaps.out_s += now.swaps.out_s - before.swaps.out_s;
  to.swaps.in_s += now.swaps.in_s - before.swaps.in_s;
  to.streamed_bytes += now.streamed_bytes - before.streamed_bytes;
  to.stream_copy_s += now.stream_copy_s - before.stream_copy_s;
}

double per(double amount, double of) {
  return of > 0 ? amount / of : 0.0;
}

std::uint64_t span_at(double seconds) {
  return static_cast<std::uint64_t>(std::max(seconds, 0.0) / RecentWork::kSpan) + 1;
}

}  // namespace

void RecentWork::observe(double now_s, const Totals& totals) {
  const std::uint64_t number = span_at(now_s);
  Span& span = spans_[number % kSpans];
  if (span.number != number) span = {number, {}};
  add_growth(span.grown, totals, seen_);
  seen_ = totals;
}

Rates RecentWork::rates(double now_s) const {
  const std::uint64_t newest = span_at(now_s);
  Totals sum;
  for (const Span& span : spans_) {
    if (span.number > 0 && span.number + kSpans > newest) add_growth(sum, span.grown, {});
  }
  // The newest span has only begun; the oldest begins a whole number of spans before it.
  const double oldest = static_cast<double>(newest > kSpans ? newest - kSpans : 0) * kSpan;
  const double window = now_s - oldest;
  return {
      .window_s = window,
      .prefill_tokens_per_s = per(static_cast<double>(sum.prefill_tokens), window),
      .completion_tokens_per_s = per(static_cast<double>(sum.completion_tokens), window),
      .decodes_per_s = per(static_cast<double>(sum.decodes), window),
      .batch = per(static_cast<double>(sum.decoded_sequences), static_cast<double>(sum.decodes)),
      .busy = std::min(per(sum.busy_s, window), 1.0),
      .swap_out_bytes_per_s = per(static_cast<double>(sum.swaps.out_bytes), sum.swaps.out_s),
      .swap_in_bytes_per_s = per(static_cast<double>(sum.swaps.in_bytes), sum.swaps.in_s),
      .stream_bytes_per_s = per(static_cast<double>(sum.streamed_bytes), sum.stream_copy_s)};
}

}  // namespace lmx
