// What the model thought of a token and of its rivals.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "lmx/text/sampling.hpp"

namespace lmx {

TokenLogprob logprob_of(const llama_vocab* vocab, const float* logits, llama_token chosen,
                        std::uint32_t n_top) {
  const auto n_vocab = static_cast<std::size_t>(llama_vocab_n_tokens(vocab));
  const float highest = *std::max_element(logits, logits + n_vocab);
  double sum = 0;
  for (std::size_t i = 0; i < n_vocab; ++i) sum += std::exp(double{logits[i]} - highest);
  const double norm = highest + std::log(sum);
  const auto entry = [&](llama_token token) {
    return TokenLogprob{
        token, piece_of(vocab, token), static_cast<float>(logits[token] - norm), {}};
  };
  TokenLogprob result = entry(chosen);
  if (n_top == 0) return result;
  std::vector<llama_token> tokens(n_vocab);
  std::iota(tokens.begin(), tokens.end(), 0);
  const auto end = tokens.begin() + std::min<std::ptrdiff_t>(n_top, std::ssize(tokens));
  std::partial_sort(tokens.begin(), end, tokens.end(), [&](llama_token a, llama_token b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  for (auto token = tokens.begin(); token != end; ++token) result.top.push_back(entry(*token));
  return result;
}

}  // namespace lmx
