#include "lmx/running/fairness.hpp"

#include <algorithm>
#include <cmath>

namespace lmx {

std::optional<std::size_t> next_share(std::span<const Share> shares) {
  std::optional<std::size_t> next;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i].wants && (!next || shares[i].used_s < shares[*next].used_s)) next = i;
  }
  return next;
}

double used_on_return(std::span<const Share> shares, double used_s) {
  const auto least = next_share(shares);
  return least ? std::max(used_s, shares[*least].used_s) : used_s;
}

std::uint32_t prefill_bite(double stream_s, double prefill_token_s, std::uint32_t batch) {
  constexpr double kDecodes = 3;
  constexpr double kLeast_s = 0.05;  // what a reader of a stream does not notice
  constexpr std::uint32_t kLeast = 8;
  if (prefill_token_s <= 0) return std::max(kLeast, batch / 16);
  const double tokens = std::max(kDecodes * stream_s, kLeast_s) / prefill_token_s;
  return tokens >= batch
             ? batch
             : std::clamp(static_cast<std::uint32_t>(tokens), std::min(kLeast, batch), batch);
}

std::uint32_t exact_bite(std::uint32_t n_past, std::uint32_t prompt, std::uint32_t chunk) {
  if (n_past >= prompt) return 1;
  return std::min(chunk - n_past % chunk, prompt - n_past);
}

double quantum_s(double least_s, double swap_s, double reload_s) {
  constexpr double kTimesSwap = 20;
  constexpr double kTimesReload = 4;
  return std::max({least_s, kTimesSwap * swap_s, kTimesReload * reload_s});
}

}  // namespace lmx
