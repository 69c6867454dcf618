// The pure parts that Python tests drive with generated input: ledger and text stream.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "bindings.hpp"
#include "lmx/base/errors.hpp"
#include "lmx/memory/ledger.hpp"
#include "lmx/text/text_stream.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lmx {
namespace {

Kind kind_of(const std::string& name) {
  const auto found = std::ranges::find(kKinds, name, kind_name);
  if (found != kKinds.end()) return *found;
  throw InvalidRequest("there is no kind of bytes called '" + name + "'");
}

using Claims = std::vector<std::tuple<std::string, std::string, Bytes>>;

nb::object reserve(Ledger& ledger, const Claims& wanted) {
  std::vector<Claim> claims;
  for (const auto& [holder, kind, bytes] : wanted) claims.push_back({holder, kind_of(kind), bytes});
  const auto denial = ledger.reserve(claims);
  if (!denial) return nb::none();
  return nb::make_tuple(denial->needs, denial->cap, denial->free);
}

}  // namespace

void bind_text(nb::module_& module) {
  nb::class_<Ledger>(module, "Ledger")
      .def(nb::init<Bytes>(), "cap"_a)
      .def("reserve", reserve, "claims"_a,
           nb::sig("def reserve(self, claims: Sequence[tuple[str, str, int]]) -> "
                   "tuple[int, int, int] | None"),
           "None, or (needs, cap, free) when it was denied.")
      .def(
          "set",
          [](Ledger& self, const std::string& holder, const std::string& kind, Bytes bytes) {
            self.set(holder, kind_of(kind), bytes);
          },
          "holder"_a, "kind"_a, "bytes"_a)
      .def("release", &Ledger::release, "holder"_a)
      .def_prop_ro("cap", &Ledger::cap)
      .def_prop_ro("used", &Ledger::used)
      .def_prop_ro("free", &Ledger::free)
      .def("entries", [](const Ledger& self) {
        std::vector<std::tuple<std::string, std::string, Bytes>> all;
        for (const Claim& claim : self.entries()) {
          all.emplace_back(claim.holder, kind_name(claim.kind), claim.bytes);
        }
        return all;
      });

  nb::class_<TextStream>(module, "TextStream")
      .def(nb::init<std::vector<std::string>>(), "stops"_a)
      .def(
          "push",
          [](TextStream& self, nb::bytes bytes) {
            return self.push({bytes.c_str(), bytes.size()});
          },
          "data"_a)
      .def("flush", &TextStream::flush)
      .def_prop_ro("stopped", &TextStream::stopped);
}

}  // namespace lmx
