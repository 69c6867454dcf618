// The likeliest tokens of a row of logits, found without sorting the vocabulary. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lmx {

class Likeliest {
 public:
  // Looks at each logit once. False when a choice among them would mean nothing: one is NaN or
  // +inf; -inf is how some models rule a token out.
  bool scan(std::span<const float> logits);

  // The tokens that have the k largest logits of the row scanned last, in ascending order; more
  // than k where logits are equal. Valid until the next scan.
  const std::vector<std::int32_t>& top(std::size_t k);

 private:
  std::span<const float> logits_;
  std::vector<float> peaks_;  // the largest logit of each block
  std::vector<float> ranked_;
  std::vector<std::int32_t> tokens_;
};

}  // namespace lmx
