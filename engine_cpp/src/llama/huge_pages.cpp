#include "lmx/llama/huge_pages.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <set>

#include "ggml-backend.h"
#include "lmx/llama/layers.hpp"

#ifdef __linux__
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // not yet in the headers of every C library
#endif
#endif

namespace lmx {

void use_huge_pages([[maybe_unused]] const llama_model* model) {
#ifdef __linux__
  constexpr std::uintptr_t kHugePage = std::uintptr_t{2} << 20;
  std::set<ggml_backend_buffer_t> buffers;
  for (const auto& [name, tensor] : weights_of(model)) {
    if (tensor->buffer == nullptr || !ggml_backend_buffer_is_host(tensor->buffer)) continue;
    if (!buffers.insert(tensor->buffer).second) continue;
    const auto base =
        reinterpret_cast<std::uintptr_t>(ggml_backend_buffer_get_base(tensor->buffer));
    // Whole huge pages only, so that nothing is taken beyond the buffer.
    const std::uintptr_t first = (base + kHugePage - 1) / kHugePage * kHugePage;
    const std::uintptr_t end =
        (base + ggml_backend_buffer_get_size(tensor->buffer)) / kHugePage * kHugePage;
    if (end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_COLLAPSE);
  }
#endif
}

}  // namespace lmx
