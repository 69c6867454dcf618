// The measurement behind deterministic mode.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings.hpp"
#include "lmx/llama/determinism.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lmx {

void bind_determinism(nb::module_& module) {
  nb::class_<DeterminismReport>(module, "DeterminismReport")
      .def_ro("same_in_batch", &DeterminismReport::same_in_batch)
      .def_ro("same_in_chunks", &DeterminismReport::same_in_chunks)
      .def_ro("tokens_compared", &DeterminismReport::tokens_compared);
  module.def(
      "measure_determinism",
      [](const std::string& path, const std::string& device, const ContextSpec& spec,
         std::int32_t threads, std::uint32_t largest, std::uint32_t steps) {
        const nb::gil_scoped_release unlocked;
        return measure_determinism(path, resolve_device(device), spec, threads, largest, steps);
      },
      "path"_a, "device"_a, "spec"_a, "threads"_a, "largest"_a, "steps"_a);
}

}  // namespace lmx
