#include "lmx/sampling.hpp"

#include <cmath>
#include <limits>
#include <string>

#include "lmx/errors.hpp"

namespace lmx {
namespace {

void check_range(const char* name, float value, float low, float high) {
  if (std::isfinite(value) && value >= low && value <= high) return;
  const auto text = [](float number) {
    std::string digits = std::to_string(number);
    digits.erase(digits.find_last_not_of('0') + 1);
    return digits.ends_with('.') ? digits + "0" : digits;
  };
  throw InvalidRequest(std::string(name) + " is " + text(value) + " but must be between " +
                       text(low) + " and " + text(high));
}

std::vector<llama_logit_bias> biases(const Sampling& sampling, const llama_vocab* vocab) {
  std::vector<llama_logit_bias> all;
  for (const auto& [token, bias] : sampling.logit_bias) all.push_back({token, bias});
  std::int32_t n_suppressed = 0;
  const llama_token* suppressed = llama_vocab_get_suppress_tokens(vocab, &n_suppressed);
  for (std::int32_t i = 0; i < n_suppressed; ++i) {
    all.push_back({suppressed[i], -std::numeric_limits<float>::infinity()});
  }
  return all;
}

bool has_penalties(const Sampling& s) {
  return s.penalty_last_n != 0 &&
         (s.repeat_penalty != 1.0F || s.presence_penalty != 0.0F || s.frequency_penalty != 0.0F);
}

}  // namespace

void validate(const Sampling& sampling, std::int32_t n_vocab) {
  check_range("temperature", sampling.temperature, 0.0F, 100.0F);
  check_range("top_p", sampling.top_p, 0.0F, 1.0F);
  check_range("min_p", sampling.min_p, 0.0F, 1.0F);
  check_range("typical_p", sampling.typical_p, 0.0F, 1.0F);
  check_range("repeat_penalty", sampling.repeat_penalty, 0.01F, 100.0F);
  check_range("presence_penalty", sampling.presence_penalty, -100.0F, 100.0F);
  check_range("frequency_penalty", sampling.frequency_penalty, -100.0F, 100.0F);
  if (sampling.top_k < 0) throw InvalidRequest("top_k must be 0 (off) or more");
  if (sampling.penalty_last_n < -1) {
    throw InvalidRequest("penalty_last_n must be -1 (the whole context), 0 (off) or more");
  }
  for (const auto& [token, bias] : sampling.logit_bias) {
    if (token < 0 || token >= n_vocab) {
      throw InvalidRequest("logit_bias names token " + std::to_string(token) +
                           " but the model has tokens 0 to " + std::to_string(n_vocab - 1));
    }
    if (std::isnan(bias)) throw InvalidRequest("logit_bias values must be numbers");
  }
}

SamplerChain make_sampler(const Sampling& s, const llama_vocab* vocab, std::uint32_t n_ctx) {
  const std::int32_t n_vocab = llama_vocab_n_tokens(vocab);
  SamplerChain chain(llama_sampler_chain_init(llama_sampler_chain_default_params()));
  const auto add = [&](llama_sampler* link) { llama_sampler_chain_add(chain.get(), link); };

  const auto bias = biases(s, vocab);
  if (!bias.empty()) {
    add(llama_sampler_init_logit_bias(n_vocab, static_cast<std::int32_t>(bias.size()),
                                      bias.data()));
  }
  if (has_penalties(s)) {
    const auto look_back =
        s.penalty_last_n < 0 ? static_cast<std::int32_t>(n_ctx) : s.penalty_last_n;
    add(llama_sampler_init_penalties(n_vocab, look_back, s.repeat_penalty, s.frequency_penalty,
                                     s.presence_penalty));
  }
  if (s.temperature <= 0.0F) {
    add(llama_sampler_init_greedy());
    return chain;
  }
  if (s.top_k > 0) add(llama_sampler_init_top_k(s.top_k));
  if (s.typical_p < 1.0F) add(llama_sampler_init_typical(s.typical_p, 1));
  if (s.top_p < 1.0F) add(llama_sampler_init_top_p(s.top_p, 1));
  if (s.min_p > 0.0F) add(llama_sampler_init_min_p(s.min_p, 1));
  add(llama_sampler_init_temp(s.temperature));
  add(llama_sampler_init_dist(s.seed));
  return chain;
}

}  // namespace lmx
