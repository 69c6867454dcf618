// Measures, on one device with one model, whether decoding sequences together changes their bits.
#pragma once

#include <string>
#include <vector>

#include "lmx/llama/llama_adapter.hpp"

namespace lmx {

struct DeterminismReport {
  // Of each number of sequences decoded together, from 1 (the same again): whether the logits of
  // all of them were, bit for bit, those of the sequences alone.
  std::vector<bool> same_in_batch;
  bool same_in_chunks = false;        // a prompt taken in one decode or in two
  std::uint32_t tokens_compared = 0;  // rows of logits
};

// Sequences of unlike lengths, `largest` of them, each `steps` tokens on, in a context of
// spec.n_ctx for each. Loads the model: the caller has made sure that there is room for it. Throws
// ModelFileError or Error.
DeterminismReport measure_determinism(const std::string& path, const Device& device,
                                      ContextSpec spec, std::int32_t threads, std::uint32_t largest,
                                      std::uint32_t steps);

}  // namespace lmx
