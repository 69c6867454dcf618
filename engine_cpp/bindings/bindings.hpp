// One function for each subject that the Python module binds.
#pragma once

#include <nanobind/nanobind.h>

namespace lmx {

struct Snapshot;

void bind_errors(nanobind::module_& module);
void bind_grammar(nanobind::module_& module);
void bind_models(nanobind::module_& module);
void bind_planner(nanobind::module_& module);
void bind_streaming(nanobind::module_& module);
void bind_engine(nanobind::module_& module);
void bind_text(nanobind::module_& module);

nanobind::dict to_dict(const Snapshot& s);

}  // namespace lmx
