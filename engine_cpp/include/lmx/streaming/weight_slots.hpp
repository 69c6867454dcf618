// The memory of a streamed model: slots on the device, and the tensors that live in them by turns.
//
// Between construction and destruction the streamed tensors of the model point into the slots. The
// weights themselves stay where the library loaded them, in host memory.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "lmx/llama/layers.hpp"
#include "lmx/streaming/stream_plan.hpp"

namespace lmx {

// A weight that has a place in a slot.
struct StreamedTensor {
  ggml_tensor* tensor = nullptr;
  ggml_backend_buffer_t home = nullptr;  // where it was loaded
  void* master = nullptr;
  void* extra = nullptr;
  Bytes bytes = 0;    // to copy
  Bytes padding = 0;  // to be zero behind them
};

struct BufferDeleter {
  void operator()(ggml_backend_buffer_t buffer) const { ggml_backend_buffer_free(buffer); }
};
using BufferHandle = std::unique_ptr<ggml_backend_buffer, BufferDeleter>;

class WeightSlots {
 public:
  // Allocates exactly plan.slot_bytes on the device and moves the tensors there. No context of the
  // model may exist. Throws Error when an allocation fails; the model is then as it was.
  WeightSlots(const llama_model* model, const Device& device, const LayerMap& map,
              const StreamPlan& plan);
  // Gives the tensors their own memory back. No context of the model may exist.
  ~WeightSlots();
  WeightSlots(const WeightSlots&) = delete;
  WeightSlots& operator=(const WeightSlots&) = delete;

  // The tensors of one of plan.streamed.
  std::span<const StreamedTensor> layer(std::uint32_t streamed) const { return layers_[streamed]; }

  // Which of plan.streamed the tensor belongs to, if it does to any.
  std::optional<std::uint32_t> layer_of(const ggml_tensor* tensor) const;

  // The buffers of a slot, one of each type.
  std::span<const BufferHandle> buffers(std::uint32_t slot) const { return slots_[slot]; }

 private:
  void bind(const llama_model* model, const Device& device, const LayerMap& map,
            const StreamPlan& plan);
  void restore();

  std::vector<std::vector<BufferHandle>> slots_;
  std::vector<std::vector<StreamedTensor>> layers_;
  std::unordered_map<const ggml_tensor*, std::uint32_t> layer_of_;
};

}  // namespace lmx
