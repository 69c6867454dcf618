#include "lmx/streaming/layer_copier.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "lmx/base/errors.hpp"

namespace lmx {
namespace {

using Clock = std::chrono::steady_clock;

// Copies in host memory, no faster than a given rate.
class HostCopier : public LayerCopier {
 public:
  explicit HostCopier(const CopyOptions& options) : options_(options) {}

  void copy(std::span<const StreamedTensor> layer, std::span<const BufferHandle> slot) override {
    if (options_.poison) {
      for (const BufferHandle& buffer : slot) ggml_backend_buffer_clear(buffer.get(), 0xFF);
    }
    const auto began = Clock::now();
    Bytes copied = 0;
    for (const StreamedTensor& weight : layer) {
      std::memcpy(weight.tensor->data, weight.master, weight.bytes);
      copied += weight.bytes;
    }
    if (options_.bytes_per_s <= 0) return;
    const std::chrono::duration<double> least(static_cast<double>(copied) / options_.bytes_per_s);
    std::this_thread::sleep_until(began + std::chrono::duration_cast<Clock::duration>(least));
  }

 private:
  const CopyOptions options_;
};

struct BackendDeleter {
  void operator()(ggml_backend_t backend) const { ggml_backend_free(backend); }
};

// Copies from pinned host memory to a device, in a stream of this backend's own.
class DeviceCopier : public LayerCopier {
 public:
  explicit DeviceCopier(const Device& device)
      : backend_(ggml_backend_dev_init(device.handle, nullptr)) {
    if (!backend_) throw Error("no second stream for copies could be made on " + device.name);
  }

  void copy(std::span<const StreamedTensor> layer, std::span<const BufferHandle>) override {
    for (const StreamedTensor& weight : layer) {
      ggml_backend_tensor_set_async(backend_.get(), weight.tensor, weight.master, 0, weight.bytes);
      clear_padding(weight);
    }
    ggml_backend_synchronize(backend_.get());
  }

 private:
  // Kernels read rows of blocks past the end of a tensor: whatever lies there must be a number.
  void clear_padding(const StreamedTensor& weight) {
    static constexpr std::array<std::byte, 4096> kZeros{};
    ggml_tensor behind{};
    behind.type = GGML_TYPE_I8;
    behind.buffer = weight.tensor->buffer;
    behind.data = static_cast<std::byte*>(weight.tensor->data) + weight.bytes;
    behind.ne[0] = static_cast<std::int64_t>(weight.padding);
    std::fill(behind.ne + 1, behind.ne + GGML_MAX_DIMS, 1);
    behind.nb[0] = 1;
    std::fill(behind.nb + 1, behind.nb + GGML_MAX_DIMS, weight.padding);
    for (Bytes done = 0; done < weight.padding; done += kZeros.size()) {
      const Bytes bytes = std::min<Bytes>(kZeros.size(), weight.padding - done);
      ggml_backend_tensor_set_async(backend_.get(), &behind, kZeros.data(), done, bytes);
    }
  }

  const std::unique_ptr<ggml_backend, BackendDeleter> backend_;
};

}  // namespace

std::unique_ptr<LayerCopier> make_copier(const Device& device, const CopyOptions& options) {
  if (device.is_cpu) return std::make_unique<HostCopier>(options);
  return std::make_unique<DeviceCopier>(device);
}

}  // namespace lmx
