// Choosing a token among those that a grammar allows.
#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "lmx/base/errors.hpp"
#include "lmx/text/sampling.hpp"

namespace lmx {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();
constexpr std::uint64_t kMaxWork = 1U << 24;  // steps for the whole vocabulary: seconds at the most
constexpr int kTries = 4;

using Candidates = std::vector<llama_token_data>;

Candidates candidates_of(const float* logits, std::int32_t n_vocab) {
  Candidates all(static_cast<std::size_t>(n_vocab));
  for (std::int32_t id = 0; id < n_vocab; ++id) {
    all[static_cast<std::size_t>(id)] = {id, logits[id], 0.0F};
  }
  return all;
}

// Leaves `candidates` as they are: the samplers reorder and cut a copy.
llama_token choose(llama_sampler* sampler, Candidates candidates) {
  llama_token_data_array array = {candidates.data(), candidates.size(), -1, false};
  llama_sampler_apply(sampler, &array);
  const bool chosen = array.selected >= 0 && array.selected < static_cast<std::int64_t>(array.size);
  if (!chosen || array.data[array.selected].logit == kForbidden) {
    throw Error("logit_bias forbids every token that the grammar allows; relax one of the two");
  }
  return array.data[array.selected].id;
}

bool allowed(const Constraint& constraint, const Pieces& pieces, llama_token token,
             std::uint64_t& work) {
  if (llama_vocab_is_eog(pieces.vocab, token)) return constraint.may_end();
  const std::string piece = pieces.of(token);
  return !piece.empty() && constraint.allows(piece, work);
}

// Which bytes a piece may begin with: most of a vocabulary is ruled out by its first.
std::array<bool, 256> first_bytes(const Constraint& constraint, std::uint64_t& work) {
  std::array<bool, 256> possible{};
  for (std::size_t byte = 0; byte < possible.size(); ++byte) {
    const char first = static_cast<char>(byte);
    possible[byte] = constraint.allows({&first, 1}, work);
  }
  return possible;
}

void remove_forbidden(Candidates& candidates, const Constraint& constraint, const Pieces& pieces) {
  std::uint64_t work = 0;
  const auto possible = first_bytes(constraint, work);
  std::erase_if(candidates, [&](const llama_token_data& candidate) {
    if (work > kMaxWork) {
      throw Error("the grammar is too ambiguous to be followed here; simplify its alternatives");
    }
    if (candidate.logit == kForbidden) return true;
    if (llama_vocab_is_eog(pieces.vocab, candidate.id)) return !constraint.may_end();
    const std::string piece = pieces.of(candidate.id);
    return piece.empty() || !possible[static_cast<unsigned char>(piece.front())] ||
           !constraint.allows(piece, work);
  });
  if (candidates.empty()) {
    throw Error("the grammar allows no token of this model here; widen the grammar");
  }
}

}  // namespace

std::string Pieces::of(llama_token token) const {
  return piece_of(vocab, token, std::ranges::find(preserved, token) != preserved.end());
}

std::string piece_of(const llama_vocab* vocab, llama_token token, bool control) {
  std::string piece(64, '\0');
  auto length = llama_token_to_piece(vocab, token, piece.data(),
                                     static_cast<std::int32_t>(piece.size()), 0, control);
  if (length < 0) {
    piece.resize(static_cast<std::size_t>(-length));
    length = llama_token_to_piece(vocab, token, piece.data(), -length, 0, control);
  }
  piece.resize(static_cast<std::size_t>(std::max(length, 0)));
  return piece;
}

llama_token sample_within(llama_sampler* sampler, const Constraint& constraint,
                          const Pieces& pieces, const float* logits) {
  Candidates candidates = candidates_of(logits, llama_vocab_n_tokens(pieces.vocab));
  // Most tokens that the model wants are allowed; looking at the whole vocabulary takes far longer.
  for (int i = 0; i < kTries && !candidates.empty(); ++i) {
    const llama_token token = choose(sampler, candidates);
    std::uint64_t work = 0;
    if (allowed(constraint, pieces, token, work)) {
      llama_sampler_accept(sampler, token);
      return token;
    }
    std::erase_if(candidates, [&](const auto& candidate) { return candidate.id == token; });
  }
  remove_forbidden(candidates, constraint, pieces);
  const llama_token token = choose(sampler, std::move(candidates));
  llama_sampler_accept(sampler, token);
  return token;
}

}  // namespace lmx
