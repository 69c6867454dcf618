// Grammars: parsed rules as lists of (type, value), and the text that follows them.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings.hpp"
#include "lmx/llama/llama_adapter.hpp"
#include "lmx/text/constraint.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lmx {
namespace {

using PlainRules = std::vector<std::vector<std::pair<std::int32_t, std::uint32_t>>>;

PlainRules parse(const std::string& text) {
  PlainRules plain;
  for (const auto& rule : parse_gbnf(text)) {
    auto& copy = plain.emplace_back();
    for (const GrammarElement& element : rule) copy.emplace_back(element.type, element.value);
  }
  return plain;
}

Grammar make_grammar(const PlainRules& plain) {
  GrammarRules rules;
  for (const auto& rule : plain) {
    auto& copy = rules.emplace_back();
    for (const auto& [type, value] : rule) {
      copy.push_back({static_cast<GrammarElement::Type>(type), value});
    }
  }
  return Grammar(rules);
}

}  // namespace

void bind_grammar(nb::module_& module) {
  nb::class_<Grammar>(module, "Grammar")
      .def(
          "__init__",
          [](Grammar* self, const PlainRules& rules) { new (self) Grammar(make_grammar(rules)); },
          "rules"_a)
      .def(
          "allows",
          [](const Grammar& self, nb::bytes data) {
            std::uint64_t work = 0;
            return self.allows({data.c_str(), data.size()}, work);
          },
          "data"_a)
      .def(
          "accept", [](Grammar& self, nb::bytes data) { self.accept({data.c_str(), data.size()}); },
          "data"_a)
      .def_prop_ro("may_end", &Grammar::may_end)
      .def_prop_ro("must_end", &Grammar::must_end);
  nb::class_<Constraint>(module, "Constraint")
      .def(
          "__init__",
          [](Constraint* self, const Grammar& grammar, std::string prefix,
             std::vector<std::string> triggers, bool behind_trigger) {
            new (self)
                Constraint(grammar, {std::move(prefix), std::move(triggers), behind_trigger});
          },
          "grammar"_a, "prefix"_a = "", "triggers"_a = std::vector<std::string>(),
          "behind_trigger"_a = false);
  module.def("parse_gbnf", parse, "text"_a,
             "The rules of a grammar. Only for the child process: hostile text can crash it.");
}

}  // namespace lmx
