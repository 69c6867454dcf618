#include "lmx/text/likeliest.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <numeric>

namespace lmx {
namespace {

constexpr std::size_t kBlock = 64;
constexpr std::size_t kLanes = 16;
constexpr float kLargest = std::numeric_limits<float>::max();

struct Lanes {
  std::array<float, kLanes> peak;
  std::array<std::int32_t, kLanes> usable;
};

// Written so that the compiler makes vector instructions of it.
void look_at(const float* logits, Lanes& lanes) {
  for (std::size_t i = 0; i < kLanes; ++i) {
    lanes.peak[i] = logits[i] > lanes.peak[i] ? logits[i] : lanes.peak[i];
    lanes.usable[i] &= logits[i] <= kLargest ? -1 : 0;
  }
}

}  // namespace

bool Likeliest::scan(std::span<const float> logits) {
  logits_ = logits;
  peaks_.clear();
  Lanes lanes;
  lanes.usable.fill(-1);
  const std::size_t whole = logits.size() - logits.size() % kBlock;
  for (std::size_t at = 0; at < whole; at += kBlock) {
    lanes.peak.fill(-std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < kBlock; i += kLanes) look_at(logits.data() + at + i, lanes);
    peaks_.push_back(*std::ranges::max_element(lanes.peak));
  }
  const auto rest = logits.subspan(whole);
  if (!rest.empty()) peaks_.push_back(*std::ranges::max_element(rest));
  const auto is_usable = [](float logit) { return logit <= kLargest; };
  return std::ranges::all_of(lanes.usable, std::identity()) && std::ranges::all_of(rest, is_usable);
}

// Each of the k largest blocks has a logit of the size of the k-th peak at least, so that none of
// the k largest logits is smaller.
const std::vector<std::int32_t>& Likeliest::top(std::size_t k) {
  tokens_.clear();
  float least = -std::numeric_limits<float>::infinity();
  if (k > 0 && k <= peaks_.size()) {
    ranked_ = peaks_;
    const auto kth = ranked_.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::ranges::nth_element(ranked_, kth, std::greater());
    least = *kth;
  }
  for (std::size_t block = 0; block < peaks_.size(); ++block) {
    if (peaks_[block] < least) continue;
    const std::size_t end = std::min((block + 1) * kBlock, logits_.size());
    for (std::size_t i = block * kBlock; i < end; ++i) {
      if (logits_[i] >= least) tokens_.push_back(static_cast<std::int32_t>(i));
    }
  }
  return tokens_;
}

}  // namespace lmx
