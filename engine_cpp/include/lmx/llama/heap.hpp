// What libllama takes from the heap of the process besides the buffers that it tells of: estimates
// from measurements (docs/engine/robustness.md), on the safe side.
#pragma once

#include "llama.h"
#include "lmx/base/bytes.hpp"

namespace lmx {

// The vocabulary and the description of one opened model.
Bytes model_heap(const llama_model* model);

// The graph's description, the cells of the cache and the candidates of each sequence.
Bytes context_heap(const llama_context* context);

// Gives pages that were freed back to the system, where the C library would keep them.
void return_freed_memory();

}  // namespace lmx
