#include "lmx/llama/layers.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string_view>
#include <unordered_map>

#include "graph_use.hpp"
#include "lmx/base/errors.hpp"

// Exported by libllama but declared only in headers that are not installed; see llama_adapter.cpp.
const std::vector<std::pair<std::string, ggml_tensor*>>& llama_internal_get_tensor_map(
    const llama_model* model);
LLAMA_API ggml_cgraph* llama_graph_reserve(llama_context* context, std::uint32_t n_tokens,
                                           std::uint32_t n_seqs, std::uint32_t n_outputs);

namespace lmx {
namespace {

constexpr std::uint32_t kPromptTokens = 64;  // the graph of a prompt differs from that of a token

// N of "blk.N.attn_q.weight".
std::optional<std::uint32_t> layer_number(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::uint32_t number = 0;
  const char* const end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + kPrefix.size(), end, number);
  if (error != std::errc() || rest == end || *rest != '.') return std::nullopt;
  return number;
}

bool is_on_device(const ggml_tensor* weight, const Device& device) {
  if (weight->buffer == nullptr) return false;
  if (device.is_cpu) return true;
  const auto type = ggml_backend_buffer_get_type(weight->buffer);
  return type == ggml_backend_dev_buffer_type(device.handle);
}

struct Numbered {
  std::uint32_t number;
  std::vector<std::pair<std::string, ggml_tensor*>> tensors;
};

std::vector<Numbered> numbered_layers(const llama_model* model, const Device& device) {
  std::map<std::uint32_t, Numbered> layers;
  for (const auto& [name, tensor] : weights_of(model)) {
    const auto number = layer_number(name);
    if (!number || !is_on_device(tensor, device)) continue;
    layers[*number].number = *number;
    layers[*number].tensors.emplace_back(name, tensor);
  }
  std::vector<Numbered> all;
  for (auto& [number, layer] : layers) all.push_back(std::move(layer));
  return all;
}

std::vector<GraphUse> read_graphs(llama_model* model) {
  ContextSpec spec;
  spec.n_ctx = 256;
  spec.n_ubatch = kPromptTokens;
  const ContextHandle context = make_context(model, normalised(spec), 1);
  std::vector<GraphUse> graphs;
  for (const std::uint32_t tokens : {1U, kPromptTokens}) {
    ggml_cgraph* graph = llama_graph_reserve(context.get(), tokens, 1, 1);
    if (graph == nullptr) throw Error("the graph of the model cannot be built");
    graphs.emplace_back(graph);
  }
  return graphs;
}

// The layers in the order in which a pass first uses them; without those it does not use.
std::vector<Numbered> in_order_of_use(std::vector<Numbered> layers, const GraphUse& graph) {
  std::map<std::int32_t, Numbered> by_use;
  for (Numbered& layer : layers) {
    if (const auto first = graph.first_use(layer.tensors)) by_use[*first] = std::move(layer);
  }
  std::vector<Numbered> ordered;
  for (auto& [use, layer] : by_use) ordered.push_back(std::move(layer));
  return ordered;
}

// The name of the last node of each layer; empty where none can be told.
std::vector<std::string> last_nodes(const std::vector<Numbered>& layers, const GraphUse& graph) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const bool is_last = i + 1 == layers.size();
    const auto next = is_last ? std::nullopt : graph.first_use(layers[i + 1].tensors);
    names.push_back(graph.last_node_of(layers[i].number, next));
  }
  return names;
}

// Of the layer's weights those which each graph uses between the two nodes only.
std::vector<std::string> tensors_between(const Numbered& layer, const std::string& before,
                                         const std::string& end,
                                         const std::vector<GraphUse>& graphs) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : layer.tensors) {
    const auto used_within = [&, weight = tensor](const GraphUse& graph) {
      return graph.uses_within(weight, before, end);
    };
    if (std::ranges::all_of(graphs, used_within)) names.push_back(name);
  }
  return names;
}

Bytes bytes_of(const std::vector<std::pair<std::string, ggml_tensor*>>& tensors,
               const std::set<std::string>* among = nullptr) {
  Bytes sum = 0;
  for (const auto& [name, tensor] : tensors) {
    if (among == nullptr || among->contains(name)) sum += ggml_nbytes(tensor);
  }
  return sum;
}

}  // namespace

const std::vector<std::pair<std::string, ggml_tensor*>>& weights_of(const llama_model* model) {
  return llama_internal_get_tensor_map(model);
}

LayerMap map_layers(llama_model* model, const Device& device) {
  const std::vector<GraphUse> graphs = read_graphs(model);
  const std::vector<Numbered> all = numbered_layers(model, device);
  const std::vector<Numbered> layers = in_order_of_use(all, graphs.front());
  const std::vector<std::string> ends = last_nodes(layers, graphs.front());

  LayerMap map;
  Bytes streamable = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    Layer layer{.number = layers[i].number, .before = i > 0 ? ends[i - 1] : "", .end = ends[i]};
    if (layer.end.empty() || (i > 0 && layer.before.empty())) continue;
    layer.tensors = tensors_between(layers[i], layer.before, layer.end, graphs);
    const std::set<std::string> names(layer.tensors.begin(), layer.tensors.end());
    const Bytes bytes = bytes_of(layers[i].tensors, &names);
    if (bytes == 0) continue;
    streamable += bytes;
    map.layers.push_back(std::move(layer));
  }
  Bytes layered = 0;
  for (const Numbered& layer : all) layered += bytes_of(layer.tensors);
  if (map.layers.size() < 2 || streamable < layered / 2) {
    map.layers.clear();
    map.refusal = all.size() < 2 ? "it has fewer than two layers"
                                 : "its graph does not show where a layer ends";
  }
  return map;
}

ggml_backend_buffer_type_t slot_type(const ggml_tensor* weight, const Device& device) {
  return device.is_cpu ? ggml_backend_buffer_get_type(weight->buffer)
                       : ggml_backend_dev_buffer_type(device.handle);
}

Bytes padded_size(const ggml_tensor* weight, ggml_backend_buffer_type_t type) {
  const Bytes alignment = ggml_backend_buft_get_alignment(type);
  const Bytes bytes = ggml_backend_buft_get_alloc_size(type, weight);
  return (bytes + alignment - 1) / alignment * alignment;
}

LayerSizes layer_sizes(const llama_model* model, const LayerMap& map, const Device& device,
                       Bytes weights) {
  LayerSizes sizes{.fixed = weights, .refusal = map.refusal};
  const std::unordered_map<std::string, ggml_tensor*> tensors(weights_of(model).begin(),
                                                              weights_of(model).end());
  for (const Layer& layer : map.layers) {
    Bytes sum = 0;
    for (const std::string& name : layer.tensors) {
      const ggml_tensor* weight = tensors.at(name);
      sum += padded_size(weight, slot_type(weight, device));
    }
    sizes.layers.push_back(sum);
    sizes.fixed = sub_floor(sizes.fixed, sum);
  }
  for (const auto& [type, bytes] : slot_buffers(model, map, device)) sizes.slot += bytes;
  return sizes;
}

std::vector<std::pair<ggml_backend_buffer_type_t, Bytes>> slot_buffers(const llama_model* model,
                                                                       const LayerMap& map,
                                                                       const Device& device) {
  const std::unordered_map<std::string, ggml_tensor*> tensors(weights_of(model).begin(),
                                                              weights_of(model).end());
  std::map<ggml_backend_buffer_type_t, Bytes> largest;
  for (const Layer& layer : map.layers) {
    std::map<ggml_backend_buffer_type_t, Bytes> sums;
    for (const std::string& name : layer.tensors) {
      const ggml_tensor* weight = tensors.at(name);
      const auto type = slot_type(weight, device);
      sums[type] += padded_size(weight, type);
    }
    for (const auto& [type, bytes] : sums) largest[type] = std::max(largest[type], bytes);
  }
  return {largest.begin(), largest.end()};
}

std::vector<std::string> host_patterns(const LayerMap& map, const StreamPlan& plan,
                                       const Device& device) {
  std::vector<std::string> patterns;
  if (device.is_cpu) return patterns;
  for (std::uint32_t index : plan.streamed) {
    std::string pattern = "^(";
    for (const std::string& name : map.layers[index].tensors) {
      if (pattern.size() > 2) pattern += '|';
      pattern += std::regex_replace(name, std::regex("\\."), "\\.");
    }
    patterns.push_back(pattern.append(")$"));
  }
  return patterns;
}

}  // namespace lmx
