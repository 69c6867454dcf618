// How the next token is chosen from the logits: the options of a request, and the chain of
// llama.cpp's samplers that carries them out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "llama.h"
#include "lmx/text/constraint.hpp"
#include "lmx/text/likeliest.hpp"

namespace lmx {

// A value that switches its sampler off is the default wherever llama.cpp has such a value.
struct Sampling {
  float temperature = 0.8F;      // 0 takes the most likely token
  std::int32_t top_k = 40;       // 0 is off
  float top_p = 0.95F;           // 1 is off
  float min_p = 0.05F;           // 0 is off
  float typical_p = 1.0F;        // 1 is off
  float top_n_sigma = 0.0F;      // standard deviations below the likeliest; 0 is off
  float xtc_probability = 0.0F;  // of leaving out the likeliest tokens; 0 is off
  float xtc_threshold = 0.1F;    // probability from which tokens count among those
  float repeat_penalty = 1.0F;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::int32_t penalty_last_n = 64;  // tokens the penalties look back on; -1 is the whole context
  float dry_multiplier = 0.0F;       // of the penalty on repeated sequences; 0 is off
  float dry_base = 1.75F;            // by which it grows with each token
  std::int32_t dry_allowed_length = 2;   // tokens that may be repeated freely
  std::int32_t dry_penalty_last_n = -1;  // tokens it looks back on; -1 is the whole context
  std::vector<std::string> dry_breakers = {"\n", ":", "\"", "*"};  // no sequence spans these
  std::uint32_t seed = 0;
  std::vector<std::pair<llama_token, float>> logit_bias;
};

struct SamplerDeleter {
  void operator()(llama_sampler* sampler) const { llama_sampler_free(sampler); }
};
using SamplerChain = std::unique_ptr<llama_sampler, SamplerDeleter>;

// Throws InvalidRequest where a value is out of range, so that the library never sees it.
void validate(const Sampling& sampling, std::int32_t n_vocab);

// The chain in llama.cpp's usual order: bias, penalties, DRY, top-n-sigma, top-k, typical, top-p,
// min-p, XTC, temperature.
SamplerChain make_sampler(const Sampling& sampling, const llama_vocab* vocab, std::uint32_t n_ctx);

// What a choice is made among. One for all sequences of a context, so that it stays in the cache.
struct Shortlist {
  Likeliest likeliest;
  std::vector<llama_token_data> tokens;
};

// The next token, by a chain made with these options; `shortlist.likeliest` has scanned the
// logits. Where only the likeliest can be chosen, the samplers are not shown the others.
llama_token sample(llama_sampler* chain, const Sampling& sampling, const llama_vocab* vocab,
                   Shortlist& shortlist, const float* logits);

// The bytes that the tokens of a text stand for; none for a control token, unless it is preserved.
struct Pieces {
  const llama_vocab* vocab;
  const std::vector<llama_token>& preserved;

  std::string of(llama_token token) const;
};
std::string piece_of(const llama_vocab* vocab, llama_token token, bool control = false);

// The next token, by these samplers among those that the constraint allows; an end of turn only
// where it may end. Throws Error when no token fits, or when finding out takes too long.
llama_token sample_within(llama_sampler* sampler, const Constraint& constraint,
                          const Pieces& pieces, const float* logits);

// The `n_top` likeliest tokens beside the chosen one, as the model sees them: before any sampling
// option. Probabilities are natural logarithms.
struct TokenLogprob {
  llama_token token = 0;
  std::string bytes;
  float logprob = 0.0F;
  std::vector<TokenLogprob> top;
};
TokenLogprob logprob_of(const llama_vocab* vocab, const float* logits, llama_token chosen,
                        std::uint32_t n_top);

}  // namespace lmx
