// The planner as a pure function of Python values.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings.hpp"
#include "lmx/memory/planner.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lmx {

void bind_planner(nb::module_& module) {
  nb::class_<Resident>(module, "Resident")
      .def(
          "__init__",
          [](Resident* self, std::string id, Bytes bytes, std::vector<std::string> upon,
             std::string serves, Bytes host_bytes, bool running, bool pinned, double idle_s,
             double reload_s, std::uint32_t free_slots) {
            new (self) Resident{
                std::move(id), std::move(upon), std::move(serves), bytes,     host_bytes, running,
                pinned,        idle_s,          reload_s,          free_slots};
          },
          "id"_a, "bytes"_a, "upon"_a, "serves"_a, "host_bytes"_a, "running"_a, "pinned"_a,
          "idle_s"_a, "reload_s"_a, "free_slots"_a);

  nb::class_<StreamNeeds>(module, "StreamNeeds")
      .def(
          "__init__",
          [](StreamNeeds* self, Bytes fixed_bytes, std::vector<Bytes> layer_bytes, Bytes slot_bytes,
             Bytes host_bytes, std::uint32_t slots, std::uint32_t min_layers,
             std::uint32_t max_layers, bool forced) {
            new (self) StreamNeeds{fixed_bytes, std::move(layer_bytes),
                                   slot_bytes,  host_bytes,
                                   slots,       min_layers,
                                   max_layers,  forced};
          },
          "fixed_bytes"_a, "layer_bytes"_a, "slot_bytes"_a, "host_bytes"_a, "slots"_a,
          "min_layers"_a, "max_layers"_a, "forced"_a)
      .def_ro("fixed_bytes", &StreamNeeds::fixed_bytes)
      .def_ro("layer_bytes", &StreamNeeds::layer_bytes)
      .def_ro("slot_bytes", &StreamNeeds::slot_bytes)
      .def_ro("host_bytes", &StreamNeeds::host_bytes)
      .def_ro("slots", &StreamNeeds::slots)
      .def_ro("min_layers", &StreamNeeds::min_layers)
      .def_ro("max_layers", &StreamNeeds::max_layers)
      .def_ro("forced", &StreamNeeds::forced);

  nb::class_<Job>(module, "Job")
      .def(
          "__init__",
          [](Job* self, std::string id, const std::vector<std::pair<std::string, Bytes>>& weights,
             std::string context, Bytes context_bytes, bool aged,
             std::optional<StreamNeeds> stream) {
            new (self)
                Job{std::move(id), {}, std::move(context), context_bytes, aged, std::move(stream)};
            for (const auto& [name, bytes] : weights) self->weights.push_back({name, bytes});
          },
          "id"_a, "weights"_a, "context"_a, "context_bytes"_a, "aged"_a, "stream"_a.none());

  nb::class_<Decision>(module, "Decision")
      .def_ro("job", &Decision::job)
      .def_prop_ro("verdict", [](const Decision& self) { return verdict_name(self.verdict); })
      .def_ro("turn", &Decision::turn)
      .def_ro("evict", &Decision::evict)
      .def_ro("needs", &Decision::needs)
      .def_ro("missing", &Decision::missing)
      .def_ro("cap", &Decision::cap)
      .def_ro("free", &Decision::free)
      .def_ro("resident_layers", &Decision::resident_layers)
      .def_ro("slots", &Decision::slots);

  module.def(
      "plan",
      [](Bytes cap, Bytes used, Bytes host_cap, Bytes host_used, std::vector<Resident> residents,
         const std::vector<Job>& jobs) {
        return plan({cap, used, host_cap, host_used}, std::move(residents), jobs);
      },
      "cap"_a, "used"_a, "host_cap"_a, "host_used"_a, "residents"_a, "jobs"_a);
}

}  // namespace lmx
