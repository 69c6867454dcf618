// What a model's layers consist of, and by which nodes of its graph one tells where they end.
//
// Nothing is known beforehand of any architecture: the graph is built, without computing anything,
// and looked at.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lmx/llama/llama_adapter.hpp"
#include "lmx/streaming/stream_plan.hpp"

namespace lmx {

// A layer that can be streamed: these weights are used between these two nodes and nowhere else.
struct Layer {
  std::uint32_t number = 0;  // N of "blk.N.attn_q.weight"
  std::string before;        // name of the last node of the layer before it; empty for the first
  std::string end;           // name of its own last node
  std::vector<std::string> tensors;
};

// A value: it holds for every load of the same file.
struct LayerMap {
  std::vector<Layer> layers;  // in the order of their use
  std::string refusal;        // why the model cannot be streamed; empty when it can
};

// What streaming a file takes, for one device.
struct ModelLayers {
  LayerMap map;
  LayerSizes sizes;
};

// All weights of a model by name, in the order in which they lie in memory.
const std::vector<std::pair<std::string, ggml_tensor*>>& weights_of(const llama_model* model);

// Works on a model that was loaded dry, too. Weights that are not on the device belong to no layer.
LayerMap map_layers(llama_model* model, const Device& device);

// Where a streamed weight is while it is computed with: the buffer type that it would have if the
// model were resident.
ggml_backend_buffer_type_t slot_type(const ggml_tensor* weight, const Device& device);

// What the weight takes in a buffer of this type, with its padding.
Bytes padded_size(const ggml_tensor* weight, ggml_backend_buffer_type_t type);

// The bytes of each layer, and of a slot; `weights` are those of the whole model on the device.
LayerSizes layer_sizes(const llama_model* model, const LayerMap& map, const Device& device,
                       Bytes weights);

// The buffers of a slot that has room for any of the layers: a type and a size each.
std::vector<std::pair<ggml_backend_buffer_type_t, Bytes>> slot_buffers(const llama_model* model,
                                                                       const LayerMap& map,
                                                                       const Device& device);

// For load_model(): the weights that the plan streams, where the device has memory of its own.
std::vector<std::string> host_patterns(const LayerMap& map, const StreamPlan& plan,
                                       const Device& device);

}  // namespace lmx
