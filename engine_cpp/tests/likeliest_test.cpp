#include "lmx/text/likeliest.hpp"

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"

using namespace lmx;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> noise(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 4);
  std::vector<float> logits(n);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

// Whether `tokens` are ascending, and hold every token whose logit is among the k largest.
bool holds_the_largest(const std::vector<std::int32_t>& tokens, const std::vector<float>& logits,
                       std::size_t k) {
  std::vector<float> sorted = logits;
  std::ranges::sort(sorted, std::greater());
  const float least = sorted[std::min(k, sorted.size()) - 1];
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const bool is_in = std::ranges::binary_search(tokens, static_cast<std::int32_t>(i));
    if (logits[i] >= least && !is_in) return false;
  }
  return std::ranges::is_sorted(tokens);
}

}  // namespace

TEST("the k largest are among the likeliest, whatever the size of the vocabulary") {
  Likeliest likeliest;
  for (const std::size_t size : {1UL, 63UL, 64UL, 65UL, 1000UL, 49152UL}) {
    for (const std::size_t k : {1UL, 2UL, 40UL, 1000UL, 100000UL}) {
      const auto logits = noise(size, static_cast<unsigned>(size + k));
      CHECK(likeliest.scan(logits));
      CHECK(holds_the_largest(likeliest.top(k), logits, k));
    }
  }
}

TEST("a few of a large vocabulary stay a few") {
  Likeliest likeliest;
  const auto logits = noise(49152, 7);
  likeliest.scan(logits);
  CHECK(likeliest.top(1).size() == 1);
  CHECK(likeliest.top(40).size() < 200);
}

TEST("tokens of equal logits are all there") {
  Likeliest likeliest;
  std::vector<float> logits(300, 1.0F);
  likeliest.scan(logits);
  CHECK(likeliest.top(5).size() == 300);
  logits.assign(300, -kInfinity);
  CHECK(likeliest.scan(logits));
  CHECK(likeliest.top(5).size() == 300);
}

TEST("what is not a number, or infinite, is told wherever it stands") {
  Likeliest likeliest;
  for (const float bad : {kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    for (const std::size_t at : {0UL, 63UL, 70UL, 128UL, 129UL}) {
      auto logits = noise(130, 3);
      CHECK(likeliest.scan(logits));
      logits[at] = bad;
      CHECK(!likeliest.scan(logits));
    }
  }
}
