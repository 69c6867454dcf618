// The planner as a pure function of Python values.
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
          [](Resident* self, std::string id, Bytes bytes, std::string model, std::string serves,
             bool running, bool pinned, double idle_s, double reload_s, std::uint32_t free_slots) {
            new (self)
                Resident{std::move(id), std::move(model), std::move(serves), bytes,     running,
                         pinned,        idle_s,           reload_s,          free_slots};
          },
          "id"_a, "bytes"_a, "model"_a, "serves"_a, "running"_a, "pinned"_a, "idle_s"_a,
          "reload_s"_a, "free_slots"_a);

  nb::class_<Job>(module, "Job")
      .def(
          "__init__",
          [](Job* self, std::string id, std::string model, std::string context, Bytes weights_bytes,
             Bytes context_bytes, bool aged) {
            new (self) Job{std::move(id), std::move(model), std::move(context),
                           weights_bytes, context_bytes,    aged};
          },
          "id"_a, "model"_a, "context"_a, "weights_bytes"_a, "context_bytes"_a, "aged"_a);

  nb::class_<Decision>(module, "Decision")
      .def_ro("job", &Decision::job)
      .def_prop_ro("verdict", [](const Decision& self) { return verdict_name(self.verdict); })
      .def_ro("evict", &Decision::evict)
      .def_ro("needs", &Decision::needs)
      .def_ro("missing", &Decision::missing)
      .def_ro("cap", &Decision::cap)
      .def_ro("free", &Decision::free);

  module.def(
      "plan",
      [](Bytes cap, Bytes used, std::vector<Resident> residents, const std::vector<Job>& jobs) {
        return plan({cap, used}, std::move(residents), jobs);
      },
      "cap"_a, "used"_a, "residents"_a, "jobs"_a);
}

}  // namespace lmx
