// What an engine did in the last seconds, from its totals: rates that fall to 0 when it idles.
#pragma once

#include <array>
#include <cstdint>

#include "lmx/running/snapshot.hpp"

namespace lmx {

// Sorts the growth of the totals into short spans of time, of which it keeps a window's worth.
class RecentWork {
 public:
  static constexpr double kSpan = 0.5;  // seconds
  static constexpr std::size_t kSpans = 20;
  static constexpr double kWindow = kSpan * kSpans;

  // Tells what the totals are now; `now_s` counts from the start of the engine and never decreases.
  void observe(double now_s, const Totals& totals);

  // Over the last `kWindow` seconds, or since the start where that is less.
  Rates rates(double now_s) const;

 private:
  struct Span {
    std::uint64_t number = 0;
    Totals grown;
  };

  Totals seen_;
  std::array<Span, kSpans> spans_;
};

}  // namespace lmx
