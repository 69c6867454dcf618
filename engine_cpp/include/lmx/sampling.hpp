// How the next token is chosen from the logits: the options of a request, and the chain of
// llama.cpp's samplers that carries them out.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "llama.h"

namespace lmx {

// A value that switches its sampler off is the default wherever llama.cpp has such a value.
struct Sampling {
  float temperature = 0.8F;  // 0 takes the most likely token
  std::int32_t top_k = 40;   // 0 is off
  float top_p = 0.95F;       // 1 is off
  float min_p = 0.05F;       // 0 is off
  float typical_p = 1.0F;    // 1 is off
  float repeat_penalty = 1.0F;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::int32_t penalty_last_n = 64;  // tokens the penalties look back on; -1 is the whole context
  std::uint32_t seed = 0;
  std::vector<std::pair<llama_token, float>> logit_bias;
};

struct SamplerDeleter {
  void operator()(llama_sampler* sampler) const { llama_sampler_free(sampler); }
};
using SamplerChain = std::unique_ptr<llama_sampler, SamplerDeleter>;

// Throws InvalidRequest where a value is out of range, so that the library never sees it.
void validate(const Sampling& sampling, std::int32_t n_vocab);

// The chain in llama.cpp's usual order: bias, penalties, top-k, typical, top-p, min-p, temperature.
SamplerChain make_sampler(const Sampling& sampling, const llama_vocab* vocab, std::uint32_t n_ctx);

}  // namespace lmx
