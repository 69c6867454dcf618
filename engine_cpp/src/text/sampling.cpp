#include "lmx/text/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "lmx/base/errors.hpp"

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

std::span<const llama_token> suppressed(const llama_vocab* vocab) {
  std::int32_t n = 0;
  const llama_token* tokens = llama_vocab_get_suppress_tokens(vocab, &n);
  return {tokens, static_cast<std::size_t>(n)};
}

std::vector<llama_logit_bias> biases(const Sampling& sampling, const llama_vocab* vocab) {
  std::map<llama_token, float> by_token;  // the library adds only the first one of each
  for (const auto& [token, bias] : sampling.logit_bias) by_token[token] += bias;
  for (llama_token token : suppressed(vocab)) {
    by_token[token] = -std::numeric_limits<float>::infinity();
  }
  std::vector<llama_logit_bias> all;
  for (const auto& [token, bias] : by_token) all.push_back({token, bias});
  return all;
}

// How far back a penalty looks; never further than the context, for which memory was planned.
std::int32_t look_back(std::int32_t last_n, std::uint32_t n_ctx) {
  const auto whole = static_cast<std::int32_t>(n_ctx);
  return last_n < 0 ? whole : std::min(last_n, whole);
}

llama_sampler* make_dry(const Sampling& s, const llama_vocab* vocab, std::uint32_t n_ctx) {
  std::vector<const char*> breakers;
  for (const std::string& breaker : s.dry_breakers) breakers.push_back(breaker.c_str());
  return llama_sampler_init_dry(vocab, s.dry_multiplier, s.dry_base, s.dry_allowed_length,
                                look_back(s.dry_penalty_last_n, n_ctx), breakers.data(),
                                breakers.size());
}

void check_look_back(const char* name, std::int32_t last_n) {
  if (last_n >= -1) return;
  throw InvalidRequest(std::string(name) + " must be -1 (the whole context), 0 (off) or more");
}

void validate_dry(const Sampling& s) {
  check_range("dry_multiplier", s.dry_multiplier, 0.0F, 100.0F);
  check_range("dry_base", s.dry_base, 1.0F, 100.0F);
  check_look_back("dry_penalty_last_n", s.dry_penalty_last_n);
  if (s.dry_allowed_length < 0) throw InvalidRequest("dry_allowed_length must be 0 or more");
  constexpr std::size_t kMaxBreakers = 32;
  constexpr std::size_t kMaxBytes = 40;  // the library would cut longer ones
  if (s.dry_breakers.size() > kMaxBreakers) {
    throw InvalidRequest("dry_breakers has more than 32 texts; give fewer");
  }
  for (const std::string& breaker : s.dry_breakers) {
    if (breaker.empty() || breaker.size() > kMaxBytes || breaker.find('\0') != std::string::npos) {
      throw InvalidRequest("each of dry_breakers must be a text of 1 to 40 bytes without NUL");
    }
  }
}

bool has_penalties(const Sampling& s) {
  return s.penalty_last_n != 0 &&
         (s.repeat_penalty != 1.0F || s.presence_penalty != 0.0F || s.frequency_penalty != 0.0F);
}

// How many of the likeliest tokens the first sampler that sorts leaves over; none when another one
// before it must see them all.
std::optional<std::size_t> left_over(const Sampling& s) {
  if (has_penalties(s) || s.dry_multiplier > 0.0F) return std::nullopt;
  if (s.temperature <= 0.0F) return 1;
  if (s.top_n_sigma > 0.0F || s.top_k == 0) return std::nullopt;
  return static_cast<std::size_t>(s.top_k);
}

// Whoever is left over, whatever the biases change: each of them can push one token aside.
void keep_likeliest(std::size_t k, const Sampling& s, const llama_vocab* vocab,
                    Shortlist& shortlist, const float* logits) {
  const auto add = [&](llama_token token) {
    shortlist.tokens.push_back({token, logits[token], 0.0F});
  };
  const std::size_t moved = s.logit_bias.size() + suppressed(vocab).size();
  const auto& top = shortlist.likeliest.top(k + moved);
  shortlist.tokens.clear();
  for (llama_token token : top) add(token);
  bool raised = false;
  for (const auto& [token, bias] : s.logit_bias) {
    if (bias <= 0.0F || std::ranges::binary_search(top, token)) continue;
    add(token);
    raised = true;
  }
  if (!raised) return;
  std::ranges::sort(shortlist.tokens, {}, &llama_token_data::id);  // among equals the first wins
  const auto doubles = std::ranges::unique(shortlist.tokens, {}, &llama_token_data::id);
  shortlist.tokens.erase(doubles.begin(), doubles.end());
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
  check_look_back("penalty_last_n", sampling.penalty_last_n);
  check_range("top_n_sigma", sampling.top_n_sigma, 0.0F, 1000.0F);
  check_range("xtc_probability", sampling.xtc_probability, 0.0F, 1.0F);
  check_range("xtc_threshold", sampling.xtc_threshold, 0.0F, 1.0F);
  validate_dry(sampling);
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
    add(llama_sampler_init_penalties(n_vocab, look_back(s.penalty_last_n, n_ctx), s.repeat_penalty,
                                     s.frequency_penalty, s.presence_penalty));
  }
  if (s.dry_multiplier > 0.0F) add(make_dry(s, vocab, n_ctx));
  if (s.temperature <= 0.0F) {
    add(llama_sampler_init_greedy());
    return chain;
  }
  if (s.top_n_sigma > 0.0F) add(llama_sampler_init_top_n_sigma(s.top_n_sigma));
  if (s.top_k > 0) add(llama_sampler_init_top_k(s.top_k));
  if (s.typical_p < 1.0F) add(llama_sampler_init_typical(s.typical_p, 1));
  if (s.top_p < 1.0F) add(llama_sampler_init_top_p(s.top_p, 1));
  if (s.min_p > 0.0F) add(llama_sampler_init_min_p(s.min_p, 1));
  if (s.xtc_probability > 0.0F) {
    add(llama_sampler_init_xtc(s.xtc_probability, s.xtc_threshold, 1, s.seed));
  }
  add(llama_sampler_init_temp(s.temperature));
  add(llama_sampler_init_dist(s.seed));
  return chain;
}

llama_token sample(llama_sampler* chain, const Sampling& sampling, const llama_vocab* vocab,
                   Shortlist& shortlist, const float* logits) {
  if (const auto k = left_over(sampling)) {
    keep_likeliest(*k, sampling, vocab, shortlist, logits);
  } else {
    shortlist.tokens.resize(static_cast<std::size_t>(llama_vocab_n_tokens(vocab)));
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); ++token) {
      shortlist.tokens[static_cast<std::size_t>(token)] = {token, logits[token], 0.0F};
    }
  }
  llama_token_data_array array = {shortlist.tokens.data(), shortlist.tokens.size(), -1, false};
  llama_sampler_apply(chain, &array);
  const llama_token token = array.data[array.selected].id;
  llama_sampler_accept(chain, token);
  return token;
}

}  // namespace lmx
