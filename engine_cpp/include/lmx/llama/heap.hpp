// What libllama takes from the heap of the process besides the buffers that it tells of: estimates
// from measurements (docs/engine/robustness.md), on the safe side.
#pragma once

#include <cstdint>

#include "llama.h"
#include "lmx/base/bytes.hpp"

namespace lmx {

// The vocabulary and the description of one opened model.
Bytes model_heap(const llama_model* model);

// The graph's description, the cells of the cache and the candidates of each sequence.
Bytes context_heap(const llama_context* context);

// Throws OutOfMemory when the system would refuse this much for a model of so many layers. Asked
// before a load, because the library aborts where some of its smaller allocations fail.
void require_memory(Bytes bytes, std::uint32_t n_layers);

// Gives pages that were freed back to the system, where the C library would keep them.
void return_freed_memory();

}  // namespace lmx
