// The Python module lmx.engine._core.
#include "bindings.hpp"
#include "lmx/llama/llama_adapter.hpp"

NB_MODULE(_core, module) {
  module.doc() = "The compiled part of lmx.engine; use lmx.engine instead.";
  lmx::bind_errors(module);
  lmx::bind_grammar(module);
  lmx::bind_models(module);
  lmx::bind_planner(module);
  lmx::bind_streaming(module);
  lmx::bind_determinism(module);
  lmx::bind_engine(module);
  lmx::bind_text(module);
  module.attr("BUILT_FOR") = LMX_LLAMA_CPP_PYTHON;
  lmx::self_check();
}
