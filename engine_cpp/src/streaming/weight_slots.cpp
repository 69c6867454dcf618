#include "lmx/streaming/weight_slots.hpp"

#include <algorithm>
#include <map>
#include <string>

#include "lmx/base/errors.hpp"

namespace lmx {
namespace {

BufferHandle allocate(ggml_backend_buffer_type_t type, Bytes bytes) {
  BufferHandle buffer(ggml_backend_buft_alloc_buffer(type, bytes));
  if (!buffer) {
    throw Error("a slot of " + mib(bytes) + " for streamed layers could not be allocated");
  }
  ggml_backend_buffer_set_usage(buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
  ggml_backend_buffer_clear(buffer.get(), 0);
  return buffer;
}

// How many of the padded bytes are the tensor's own. In host memory a weight may have been brought
// into a form of the buffer's own that is larger than the tensor.
Bytes bytes_to_copy(const ggml_tensor* tensor, ggml_backend_buffer_type_t type,
                    const Device& device) {
  return device.is_cpu ? ggml_backend_buft_get_alloc_size(type, tensor) : ggml_nbytes(tensor);
}

}  // namespace

WeightSlots::WeightSlots(const llama_model* model, const Device& device, const LayerMap& map,
                         const StreamPlan& plan) {
  const auto buffers = slot_buffers(model, map, device);
  for (std::uint32_t slot = 0; slot < plan.slots; ++slot) {
    auto& own = slots_.emplace_back();
    for (const auto& [type, bytes] : buffers) own.push_back(allocate(type, bytes));
  }
  try {
    bind(model, device, map, plan);
  } catch (...) {
    restore();
    throw;
  }
}

WeightSlots::~WeightSlots() {
  restore();
}

void WeightSlots::bind(const llama_model* model, const Device& device, const LayerMap& map,
                       const StreamPlan& plan) {
  const std::unordered_map<std::string, ggml_tensor*> tensors(weights_of(model).begin(),
                                                              weights_of(model).end());
  for (std::uint32_t i = 0; i < plan.streamed.size(); ++i) {
    auto& layer = layers_.emplace_back();
    std::map<ggml_backend_buffer_type_t, Bytes> taken;
    for (const std::string& name : map.layers.at(plan.streamed[i]).tensors) {
      ggml_tensor* tensor = tensors.at(name);
      const auto type = slot_type(tensor, device);
      const auto& own = slots_[plan.slot_of[i]];
      const auto buffer = std::ranges::find_if(own, [&, wanted = type](const BufferHandle& handle) {
        return ggml_backend_buffer_get_type(handle.get()) == wanted;
      });
      const Bytes bytes = bytes_to_copy(tensor, type, device);
      const Bytes padded = padded_size(tensor, type);
      layer.push_back({tensor, tensor->buffer, tensor->data, tensor->extra, bytes, padded - bytes});
      layer_of_[tensor] = i;
      auto* const base = static_cast<std::byte*>(ggml_backend_buffer_get_base(buffer->get()));
      tensor->buffer = nullptr;
      tensor->data = nullptr;
      if (ggml_backend_tensor_alloc(buffer->get(), tensor, base + taken[type]) !=
          GGML_STATUS_SUCCESS) {
        throw Error(name + " could not be placed into a slot");
      }
      taken[type] += padded;
    }
  }
}

void WeightSlots::restore() {
  for (const auto& layer : layers_) {
    for (const StreamedTensor& streamed : layer) {
      streamed.tensor->buffer = streamed.home;
      streamed.tensor->data = streamed.master;
      streamed.tensor->extra = streamed.extra;
    }
  }
}

std::optional<std::uint32_t> WeightSlots::layer_of(const ggml_tensor* tensor) const {
  const auto found = layer_of_.find(tensor);
  if (found == layer_of_.end()) return std::nullopt;
  return found->second;
}

}  // namespace lmx
