// One function for each subject that the Python module binds.
#pragma once

#include <nanobind/nanobind.h>

#include <vector>

namespace lmx {

struct Claim;
struct Snapshot;

void bind_errors(nanobind::module_& module);
void bind_grammar(nanobind::module_& module);
void bind_models(nanobind::module_& module);
void bind_planner(nanobind::module_& module);
void bind_streaming(nanobind::module_& module);
void bind_determinism(nanobind::module_& module);
void bind_engine(nanobind::module_& module);
void bind_text(nanobind::module_& module);

nanobind::list to_list(const std::vector<Claim>& claims);
nanobind::dict to_dict(const Snapshot& s);

}  // namespace lmx
