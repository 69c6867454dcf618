#include "lmx/llama/host_memory.hpp"

#include <cstring>
#include <map>
#include <memory>
#include <mutex>

namespace lmx {
namespace {

// The library's buffers, by the memory that they hold.
class PinnedBuffers {
 public:
  explicit PinnedBuffers(ggml_backend_buffer_type_t type) : type_(type) {}

  void* allocate(Bytes bytes) {
    ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(type_, bytes);
    if (buffer == nullptr) return nullptr;
    void* base = ggml_backend_buffer_get_base(buffer);
    std::memset(base, 0, bytes);
    const std::lock_guard lock(mutex_);
    buffers_[base] = buffer;
    return base;
  }

  void free(void* base) {
    ggml_backend_buffer_t buffer = nullptr;
    {
      const std::lock_guard lock(mutex_);
      const auto found = buffers_.find(base);
      if (found == buffers_.end()) return;
      buffer = found->second;
      buffers_.erase(found);
    }
    ggml_backend_buffer_free(buffer);
  }

 private:
  ggml_backend_buffer_type_t type_;
  std::mutex mutex_;
  std::map<void*, ggml_backend_buffer_t> buffers_;
};

}  // namespace

HostAllocator host_allocator(const Device& device) {
  ggml_backend_buffer_type_t type =
      device.is_cpu ? nullptr : ggml_backend_dev_host_buffer_type(device.handle);
  if (type == nullptr) return page_allocator();
  const auto buffers = std::make_shared<PinnedBuffers>(type);
  return {[buffers](Bytes bytes) { return buffers->allocate(bytes); },
          [buffers](void* base, Bytes) { buffers->free(base); }};
}

}  // namespace lmx
