// Model files: metadata, exact needs, other formats.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings.hpp"
#include "lmx/llama/gguf_header.hpp"
#include "lmx/llama/quantize.hpp"
#include "lmx/running/engine.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lmx {
namespace {

constexpr std::uint32_t kMaxTokens = 1U << 24;

// Opens the file and does with it what a request would do first, so that whatever makes the
// library fall over does so here, in the process that was set aside for it.
ModelInfo inspect(const std::string& path) {
  const Device device = resolve_device("cpu");
  const DryModel model(identify(path), device);
  ContextSpec spec;
  spec.n_ctx = 256;
  if (!model.info().generates) spec.pooling = "mean";
  model.footprint(normalised(spec), device);
  model.tokenize("The quick brown fox, 12 \xC3\xA9t\xC3\xA9s.\n", 256);
  return model.info();
}

// What such a context has really allocated once it has decoded its largest batch.
Footprint measure(const std::string& path, const ContextSpec& wanted, const std::string& name) {
  const Device device = resolve_device(name);
  const ContextSpec spec = normalised(wanted);
  const auto model = ModelStore::load(path, identify(path), device, std::nullopt, {});
  Context context("measured", model, spec, {});
  context.warm_up();
  return context.footprint(device);
}

}  // namespace

void bind_models(nb::module_& module) {
  nb::class_<ModelInfo>(module, "ModelInfo")
      .def_ro("path", &ModelInfo::path)
      .def_ro("size_bytes", &ModelInfo::size_bytes)
      .def_ro("arch", &ModelInfo::arch)
      .def_ro("name", &ModelInfo::name)
      .def_ro("quantization", &ModelInfo::quantization)
      .def_ro("n_params", &ModelInfo::n_params)
      .def_ro("n_layers", &ModelInfo::n_layers)
      .def_ro("n_ctx_train", &ModelInfo::n_ctx_train)
      .def_ro("n_vocab", &ModelInfo::n_vocab)
      .def_ro("chat_template", &ModelInfo::chat_template)
      .def_ro("bos", &ModelInfo::bos)
      .def_ro("eos", &ModelInfo::eos)
      .def_ro("adds_bos", &ModelInfo::adds_bos)
      .def_ro("generates", &ModelInfo::generates)
      .def_ro("pooling", &ModelInfo::pooling)
      .def_ro("n_embd", &ModelInfo::n_embd);

  nb::class_<Footprint>(module, "Footprint")
      .def_ro("weights", &Footprint::weights)
      .def_ro("kv", &Footprint::kv)
      .def_ro("compute", &Footprint::compute)
      .def_ro("host", &Footprint::host);

  nb::class_<ContextSpec>(module, "ContextSpec")
      .def(
          "__init__",
          [](ContextSpec* self, std::uint32_t n_ctx, std::uint32_t n_seq, std::string kv_type,
             std::uint32_t n_ubatch, std::string flash_attn, std::string pooling) {
            new (self) ContextSpec{n_ctx,
                                   n_seq,
                                   std::move(kv_type),
                                   n_ubatch,
                                   std::move(flash_attn),
                                   std::move(pooling)};
          },
          "n_ctx"_a, "n_seq"_a, "kv_type"_a, "n_ubatch"_a, "flash_attn"_a, "pooling"_a = "");

  const auto release = nb::call_guard<nb::gil_scoped_release>();
  module.def(
      "header_bytes",
      [](const std::string& path) -> std::optional<std::uint64_t> {
        const auto header = read_gguf_header(path);
        return header && !header->split ? std::optional(header->bytes) : std::nullopt;
      },
      "path"_a, release, "Bytes before the tensors; None where they cannot be told.");
  module.def("inspect", inspect, "path"_a, release);
  module.def("quantize", quantize, "source"_a, "target"_a, "format"_a, "threads"_a, release);
  module.def(
      "tokenize",
      [](const std::string& path, const std::string& text, const std::string& device) {
        return estimator_for(device)->open(path)->tokenize(text, kMaxTokens);
      },
      "path"_a, "text"_a, "device"_a, release);
  module.def(
      "device_name", [](const std::string& name) { return resolve_device(name).name; }, "name"_a);
  module.def(
      "device_memory",
      [](const std::string& name) {
        const Device device = resolve_device(name);
        return std::make_pair(device.total(), device.free());
      },
      "name"_a, "Total and free bytes.");
  module.def(
      "device_identity",
      [](const std::string& name) {
        const Device device = resolve_device(name);
        return std::make_pair(device.description(), device.pci_bus_id());
      },
      "name"_a, "Description and PCI bus id (empty where there is none).");
  module.def(
      "estimate",
      [](const std::string& path, const ContextSpec& spec, const std::string& device) {
        return estimator_for(device)->estimate(path, spec);
      },
      "path"_a, "spec"_a, "device"_a, release);
  module.def("measure", measure, "path"_a, "spec"_a, "device"_a, release);
}

}  // namespace lmx
