// A generation in progress, and the slot of a context that holds its keys and values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lmx/running/request.hpp"
#include "lmx/text/sampling.hpp"
#include "lmx/text/text_stream.hpp"

namespace lmx {

// All of a request's state but its keys and values, so that it can leave its slot and go on in
// another one.
struct Generation {
  Generation(std::shared_ptr<Request> asked, const llama_vocab* vocab);

  std::uint32_t prompt_size() const {
    return static_cast<std::uint32_t>(request->spec().prompt.size());
  }
  std::uint32_t size() const { return static_cast<std::uint32_t>(tokens.size()); }
  std::uint32_t produced() const { return size() - prompt_size(); }
  bool exact() const { return request->spec().mode == Mode::deterministic; }

  std::shared_ptr<Request> request;
  SamplerChain sampler;
  TextStream text;
  std::optional<Constraint> constraint;
  std::vector<llama_token> tokens;  // the prompt, then those chosen; the last is not yet decoded
  bool answering = false;           // decoding, since it last came into a slot
  Clock::time_point began;          // when it last came into a slot
  std::uint32_t reached = 0;        // tokens that were in the cache when it was last suspended
};

// One sequence of a context: empty, running, or parked: its last request has ended, and its keys
// and values are kept for the next that begins with the same tokens.
struct Slot {
  bool running() const { return generation != nullptr; }
  bool empty() const { return !running() && n_past == 0; }
  bool parked() const { return !running() && n_past > 0; }

  // The tokens whose keys and values are in the cache.
  std::span<const llama_token> cached() const {
    return std::span(generation ? generation->tokens : tokens).first(n_past);
  }
  // Chosen or given, and not in the cache yet.
  std::uint32_t behind() const { return generation->size() - n_past; }
  bool streaming() const { return generation->produced() > 0 && behind() == 1; }
  // Not while its reader has yet to take what there is.
  bool may_decode() const { return running() && !generation->request->throttled(); }

  std::unique_ptr<Generation> generation;
  std::vector<llama_token> tokens;  // while parked
  std::uint32_t n_past = 0;         // tokens in the cache
  std::uint32_t exact_until = 0;    // leading tokens that were computed alone, in whole chunks
  std::string session;              // empty: anonymous
  Clock::time_point last_used;

  std::uint32_t batched = 0;  // tokens in the decode that is being made
  std::int32_t output_row = -1;
};

}  // namespace lmx
