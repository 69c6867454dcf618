// A model and its contexts driven by hand, streamed or resident: for tests and benchmarks, which
// need the logits themselves and the counters of the copies.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <tuple>

#include "bindings.hpp"
#include "lmx/base/errors.hpp"
#include "lmx/llama/layers.hpp"
#include "lmx/memory/estimator.hpp"
#include "lmx/running/engine.hpp"
#include "lmx/streaming/stream_policy.hpp"
#include "lmx/streaming/weight_streamer.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lmx {
namespace {

// token, position, sequence, whether its logits are wanted
using Token = std::tuple<std::int32_t, std::int32_t, std::int32_t, bool>;

class StreamLab {
 public:
  // `resident` layers stay, all of them when it is none: then nothing is streamed.
  StreamLab(const std::string& path, std::optional<std::uint32_t> resident, std::uint32_t slots,
            CopyOptions options, const std::string& device_name)
      : device_(resolve_device(device_name)) {
    std::vector<std::string> in_host_memory;
    {
      const ModelHandle dry = load_model(path, device_, LoadMode::dry);
      map_ = map_layers(dry.get(), device_);
      const ContextHandle context = make_context(dry.get(), normalised({}), 1);
      sizes_ = layer_sizes(dry.get(), map_, device_, footprint(context.get(), {}, device_).weights);
    }
    if (resident && !sizes_.possible()) throw Error("cannot be streamed: " + map_.refusal);
    if (resident) plan_ = plan_streaming(sizes_, *resident, slots);
    model_ = load_model(path, device_, LoadMode::real, {}, host_patterns(map_, plan_, device_));
    if (plan_.slots == 0) return;
    streamer_ = std::make_unique<WeightStreamer>(model_.get(), device_, map_, plan_, options);
  }

  std::size_t add_context(const ContextSpec& spec, std::int32_t threads) {
    ContextCallbacks callbacks{.abort = should_abort, .abort_data = this};
    if (streamer_) streamer_->attach(callbacks);
    contexts_.push_back(make_context(model_.get(), normalised(spec), threads, callbacks));
    return contexts_.size() - 1;
  }

  void drop_context(std::size_t index) { contexts_.at(index).reset(); }

  // Status and the rows of logits that were wanted, as the bytes of floats.
  std::pair<std::int32_t, std::vector<std::string>> decode(std::size_t index,
                                                           const std::vector<Token>& tokens,
                                                           std::int64_t abort_after) {
    llama_context* context = contexts_.at(index).get();
    abort_after_ = abort_after;
    const auto n = static_cast<std::int32_t>(tokens.size());
    llama_batch batch = llama_batch_init(n, 0, 1);
    for (const auto& [token, position, sequence, wanted] : tokens) {
      const std::int32_t row = batch.n_tokens++;
      batch.token[row] = token;
      batch.pos[row] = position;
      batch.n_seq_id[row] = 1;
      batch.seq_id[row][0] = sequence;
      batch.logits[row] = wanted ? 1 : 0;
    }
    std::int32_t status = 0;
    try {
      status = streamer_ ? streamer_->decode(context, batch) : llama_decode(context, batch);
    } catch (...) {
      llama_batch_free(batch);
      throw;
    }
    std::vector<std::string> rows;
    const auto bytes = sizeof(float) * llama_vocab_n_tokens(llama_model_get_vocab(model_.get()));
    for (std::int32_t row = 0; status == 0 && row < n; ++row) {
      if (!batch.logits[row]) continue;
      const float* logits = llama_get_logits_ith(context, row);
      rows.emplace_back(reinterpret_cast<const char*>(logits), bytes);
    }
    llama_batch_free(batch);
    return {status, std::move(rows)};
  }

  StreamCounters counters() const { return streamer_ ? streamer_->counters() : StreamCounters{}; }
  const LayerSizes& sizes() const { return sizes_; }
  const StreamPlan& plan() const { return plan_; }
  const LayerMap& map() const { return map_; }

 private:
  static bool should_abort(void* self) {
    auto& lab = *static_cast<StreamLab*>(self);
    return lab.abort_after_ >= 0 && lab.abort_after_-- == 0;
  }

  const Device device_;
  LayerMap map_;
  LayerSizes sizes_;
  StreamPlan plan_;
  ModelHandle model_;
  std::unique_ptr<WeightStreamer> streamer_;
  std::vector<ContextHandle> contexts_;
  std::int64_t abort_after_ = -1;
};

nb::dict counters_of(const StreamLab& lab) {
  const StreamCounters counters = lab.counters();
  nb::dict view;
  view["copies"] = counters.pipeline.copies;
  view["copied_bytes"] = counters.copied_bytes;
  view["copy_s"] = counters.pipeline.copy_s;
  view["waits"] = counters.pipeline.waits;
  view["wait_s"] = counters.pipeline.wait_s;
  view["passes"] = counters.pipeline.passes;
  view["decode_s"] = counters.decode_s;
  return view;
}

}  // namespace

void bind_streaming(nb::module_& module) {
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  nb::class_<LayerSizes>(module, "LayerSizes")
      .def_ro("fixed", &LayerSizes::fixed)
      .def_ro("layers", &LayerSizes::layers)
      .def_ro("slot", &LayerSizes::slot)
      .def_ro("refusal", &LayerSizes::refusal)
      .def_prop_ro("whole", &LayerSizes::whole);

  nb::class_<StreamPlan>(module, "StreamPlan")
      .def_ro("resident", &StreamPlan::resident)
      .def_ro("slots", &StreamPlan::slots)
      .def_ro("streamed", &StreamPlan::streamed)
      .def_ro("weight_bytes", &StreamPlan::weight_bytes)
      .def_ro("slot_bytes", &StreamPlan::slot_bytes)
      .def_ro("host_bytes", &StreamPlan::host_bytes)
      .def_prop_ro("device_bytes", &StreamPlan::device_bytes);

  nb::class_<StreamPolicy>(module, "StreamPolicy")
      .def(
          "__init__",
          [](StreamPolicy* self, const std::string& mode,
             std::optional<std::uint32_t> resident_layers, std::uint32_t slots) {
            new (self) StreamPolicy{streaming_mode(mode), resident_layers, slots};
          },
          "mode"_a, "resident_layers"_a.none(), "slots"_a);

  nb::class_<CopyOptions>(module, "CopyOptions")
      .def(
          "__init__",
          [](CopyOptions* self, double bytes_per_s, bool poison) {
            new (self) CopyOptions{bytes_per_s, poison};
          },
          "bytes_per_s"_a = 0.0, "poison"_a = false);

  module.def(
      "stream_needs",
      [](const std::string& path, const StreamPolicy& policy, const std::string& device) {
        const auto estimator = estimator_for(device);
        return stream_needs(estimator->layers(estimator->open(path))->sizes, policy);
      },
      "path"_a, "policy"_a, "device"_a, release,
      "For the planner; None when it cannot be streamed.");

  nb::class_<StreamLab>(module, "StreamLab")
      .def(
          "__init__",
          [](StreamLab* self, const std::string& path, std::optional<std::uint32_t> resident,
             std::uint32_t slots, bool poison, double bytes_per_s, const std::string& device) {
            nb::gil_scoped_release unlocked;
            new (self) StreamLab(path, resident, slots, {bytes_per_s, poison}, device);
          },
          "path"_a, "resident"_a.none(), "slots"_a = kStreamSlots, "poison"_a = false,
          "bytes_per_s"_a = 0.0, "device"_a = "cpu")
      .def("add_context", &StreamLab::add_context, "spec"_a, "threads"_a = 1, release)
      .def("drop_context", &StreamLab::drop_context, "index"_a, release)
      .def(
          "decode",
          [](StreamLab& self, std::size_t context, const std::vector<Token>& tokens,
             std::int64_t abort_after) {
            std::pair<std::int32_t, std::vector<std::string>> answer;
            {
              nb::gil_scoped_release unlocked;
              answer = self.decode(context, tokens, abort_after);
            }
            nb::list rows;
            for (const std::string& row : answer.second) {
              rows.append(nb::bytes(row.data(), row.size()));
            }
            return nb::make_tuple(answer.first, rows);
          },
          "context"_a, "tokens"_a, "abort_after"_a = -1,
          nb::sig("def decode(self, context: int, tokens: Sequence[tuple[int, int, int, bool]], "
                  "abort_after: int = -1) -> tuple[int, list[bytes]]"),
          "Status, and the rows of logits of the tokens (token, position, sequence, wanted).")
      .def_prop_ro("sizes", &StreamLab::sizes)
      .def_prop_ro("plan", &StreamLab::plan)
      .def("counters", counters_of, nb::sig("def counters(self) -> dict[str, float]"));
}

}  // namespace lmx
