// Layer multiplexing: a model whose layers pass through a few slots while it computes.
//
// Its hook is called for the nodes of every graph that a context of the model computes. Before a
// node that uses a streamed layer it waits until the layer is in its slot; after the last node of
// that layer it gives the slot to the layer that comes next. All that is decided by what the nodes
// really use, so a graph other than the one that was foreseen is slow or refused, never wrong.
#pragma once

#include <atomic>
#include <mutex>
#include <string_view>
#include <unordered_set>

#include "lmx/streaming/layer_copier.hpp"
#include "lmx/streaming/layer_pipeline.hpp"
#include "lmx/streaming/weight_slots.hpp"

namespace lmx {

struct StreamCounters {
  PipelineCounters pipeline;
  Bytes copied_bytes = 0;
  double decode_s = 0;  // spent in decodes, waiting included
};

// Serves all contexts of its model, one decode at a time: those of several threads take turns.
// counters() by any thread. It must end after the last context and before the model.
class WeightStreamer {
 public:
  // The copying begins at once. Throws Error when the slots cannot be allocated.
  WeightStreamer(const llama_model* model, const Device& device, const LayerMap& map,
                 StreamPlan plan, const CopyOptions& options = {});

  const StreamPlan& plan() const { return plan_; }
  StreamCounters counters() const;

  // llama_decode with the layers where they belong; its status. Throws Error when a layer could
  // not be brought there: what was computed is worth nothing then.
  std::int32_t decode(llama_context* context, const llama_batch& batch);

  // For each context of the model, before it is made.
  void attach(ContextCallbacks& callbacks);

 private:
  static bool on_node(ggml_tensor* node, bool ask, void* self);
  bool ask(const ggml_tensor* node);
  void acquire_sources(const ggml_tensor* node);
  std::optional<std::uint32_t> streamed_layer(const ggml_tensor* source) const;
  void copy(std::uint32_t layer);

  const StreamPlan plan_;
  WeightSlots slots_;
  std::vector<std::string> boundary_names_;
  std::unordered_set<std::string_view> boundaries_;
  std::vector<ggml_backend_buffer_t> buffers_;
  std::mutex decoding_;
  std::unique_ptr<LayerCopier> copier_;
  std::optional<std::uint32_t> current_;  // was acquired last
  std::exception_ptr error_;              // of the decode under way
  std::atomic<Bytes> copied_bytes_ = 0;
  std::atomic<double> decode_s_ = 0;
  LayerPipeline pipeline_;  // last: its thread uses the others
};

}  // namespace lmx
