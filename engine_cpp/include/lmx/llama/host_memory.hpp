// Host memory that a device copies to and from at full speed.
#pragma once

#include "lmx/llama/llama_adapter.hpp"
#include "lmx/sessions/host_buffers.hpp"

namespace lmx {

// Pinned memory of a GPU, or pages where the device is the CPU or has no such memory.
HostAllocator host_allocator(const Device& device);

}  // namespace lmx
