#include "lmx/llama/heap.hpp"

#include <sys/mman.h>

#include "lmx/base/errors.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace lmx {
namespace {

// Of each token: its text, its place in the indices and its rank among the merges. Measured with
// vocabularies of 32,000 to 256,000 tokens: 298 with merges (SmolLM2), 180 without.
constexpr Bytes kTokenWithMerges = 320;
constexpr Bytes kToken = 184;

constexpr Bytes kContext = Bytes{4} << 20;
constexpr Bytes kLayer = Bytes{64} << 10;
constexpr Bytes kCell = 64;                    // of the cache: position, sequences
constexpr Bytes kGraph = Bytes{48} << 20;      // address space for the description of a graph,
constexpr Bytes kGraphLayer = Bytes{2} << 20;  // most of which is never touched
constexpr Bytes kCandidate = 32;  // a token with its logit and probability, and a copy of it

}  // namespace

Bytes model_heap(const llama_model* model) {
  const llama_vocab* vocab = llama_model_get_vocab(model);
  const auto tokens = static_cast<Bytes>(llama_vocab_n_tokens(vocab));
  return tokens * (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_BPE ? kTokenWithMerges : kToken);
}

Bytes context_heap(const llama_context* context) {
  const llama_model* model = llama_get_model(context);
  const auto tokens = static_cast<Bytes>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
  return kContext + kLayer * static_cast<Bytes>(llama_model_n_layer(model)) +
         kCell * llama_n_ctx(context) + kCandidate * tokens;
}

void require_memory(Bytes bytes, std::uint32_t n_layers) {
  const Bytes all = add_saturating(bytes, kGraph + kGraphLayer * n_layers);
  void* place = mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) {
    throw OutOfMemory("the system refuses " + mib(all) +
                      " although the ledger has them free; lower the cap or the memory limit of "
                      "other processes");
  }
  munmap(place, all);
}

void return_freed_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace lmx
