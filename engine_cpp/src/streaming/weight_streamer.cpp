#include "lmx/streaming/weight_streamer.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace lmx {

WeightStreamer::WeightStreamer(const llama_model* model, const Device& device, const LayerMap& map,
                               StreamPlan plan, const CopyOptions& options)
    : plan_(std::move(plan)),
      slots_(model, device, map, plan_),
      copier_(make_copier(device, options)),
      pipeline_(plan_.slot_of, [this](std::uint32_t layer) { copy(layer); }) {
  for (std::uint32_t index : plan_.streamed) {
    const Layer& layer = map.layers[index];
    boundary_names_.push_back(layer.end);
    if (!layer.before.empty()) boundary_names_.push_back(layer.before);
  }
  boundaries_.insert(boundary_names_.begin(), boundary_names_.end());
  for (std::uint32_t slot = 0; slot < plan_.slots; ++slot) {
    for (const BufferHandle& buffer : slots_.buffers(slot)) buffers_.push_back(buffer.get());
  }
}

StreamCounters WeightStreamer::counters() const {
  return {pipeline_.counters(), copied_bytes_.load(), decode_s_.load()};
}

void WeightStreamer::copy(std::uint32_t layer) {
  const auto weights = slots_.layer(layer);
  copier_->copy(weights, slots_.buffers(plan_.slot_of[layer]));
  for (const StreamedTensor& weight : weights) copied_bytes_ += weight.bytes;
}

std::int32_t WeightStreamer::decode(llama_context* context, const llama_batch& batch) {
  const std::lock_guard turn(decoding_);
  const auto began = std::chrono::steady_clock::now();
  error_ = nullptr;
  const std::int32_t status = llama_decode(context, batch);
  if (error_ || pipeline_.in_pass()) {  // failed, or abandoned on the way
    llama_synchronize(context);
    current_.reset();
    pipeline_.restart();
  }
  decode_s_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  return status;
}

void WeightStreamer::attach(ContextCallbacks& callbacks) {
  callbacks.on_node = on_node;
  callbacks.on_node_data = this;
}

bool WeightStreamer::on_node(ggml_tensor* node, bool ask, void* self) {
  auto& streamer = *static_cast<WeightStreamer*>(self);
  if (ask) return streamer.ask(node);
  if (streamer.error_) return false;
  streamer.current_.reset();
  streamer.pipeline_.release();
  return true;
}

// Whether the library shall stop behind this node and call again.
bool WeightStreamer::ask(const ggml_tensor* node) {
  if (error_) return true;
  try {
    acquire_sources(node);
  } catch (...) {  // nothing may be thrown through the library
    error_ = std::current_exception();
    return true;
  }
  return boundaries_.contains(ggml_get_name(node));
}

void WeightStreamer::acquire_sources(const ggml_tensor* node) {
  for (const ggml_tensor* source : node->src) {
    if (source == nullptr) continue;
    const auto layer = streamed_layer(source);
    if (!layer || layer == current_) continue;
    pipeline_.acquire(*layer);
    current_ = layer;
  }
}

std::optional<std::uint32_t> WeightStreamer::streamed_layer(const ggml_tensor* source) const {
  const ggml_tensor* whole = source->view_src != nullptr ? source->view_src : source;
  if (std::ranges::find(buffers_, whole->buffer) == buffers_.end()) return std::nullopt;
  return slots_.layer_of(whole);
}

}  // namespace lmx
