// The boundary to libllama: models and contexts as owned handles, and the exact bytes of each. Its
// source and that of layers.hpp alone name symbols which llama.h does not declare; they are pinned
// to one version, which is checked at start.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "llama.h"
#include "lmx/base/bytes.hpp"
#include "lmx/llama/devices.hpp"
#include "lmx/text/grammar.hpp"

namespace lmx {

// Throws Error when the libllama found at run time is not the one this was built for.
void self_check();

struct ModelDeleter {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
struct ContextDeleter {
  void operator()(llama_context* context) const { llama_free(context); }
};
using ModelHandle = std::unique_ptr<llama_model, ModelDeleter>;
using ContextHandle = std::unique_ptr<llama_context, ContextDeleter>;

// What a context is made for; two equal specs need equal bytes.
struct ContextSpec {
  std::uint32_t n_ctx = 2048;  // tokens of each sequence
  std::uint32_t n_seq = 1;
  std::string kv_type = "f16";  // f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0
  std::uint32_t n_ubatch = 512;
  std::string flash_attn = "auto";  // auto, on, off
  // mean, cls or last: the context turns whole texts into vectors. Empty: it generates.
  std::string pooling;

  bool embeds() const { return !pooling.empty(); }

  auto operator<=>(const ContextSpec&) const = default;
};

// Rounds n_ctx up as the library does, and throws InvalidRequest for what it would not accept.
ContextSpec normalised(ContextSpec spec);

// Bytes on the engine's device, and, of a GPU engine, those it needs in host memory besides. On the
// CPU `weights` include the vocabulary, and `compute` what the library keeps of a context.
struct Footprint {
  Bytes weights = 0;
  Bytes kv = 0;
  Bytes compute = 0;
  Bytes host = 0;

  Bytes total() const { return add_saturating(weights, context()); }
  Bytes context() const { return add_saturating(kv, compute); }
};

enum class LoadMode { real, dry };  // dry: metadata and vocabulary, no weights allocated

// Throws ModelFileError with the library's reason. `keep_going` may end a long load early
// (Cancelled). On a GPU the weights whose names match one of the patterns `in_host_memory`
// (regular expressions) are loaded into pinned host memory.
ModelHandle load_model(const std::string& path, const Device& device, LoadMode mode,
                       const std::function<bool()>& keep_going = {},
                       const std::vector<std::string>& in_host_memory = {});

// What the library asks during a decode. It is abandoned when `abort` answers true (CPU only);
// `on_node` sees the nodes of the graph as they are computed (ggml_backend_sched_eval_callback).
struct ContextCallbacks {
  ggml_abort_callback abort = nullptr;
  void* abort_data = nullptr;
  ggml_backend_sched_eval_callback on_node = nullptr;
  void* on_node_data = nullptr;
};

// Throws Error with the library's reason, which is usually that an allocation failed.
ContextHandle make_context(llama_model* model, const ContextSpec& spec, std::int32_t threads,
                           const ContextCallbacks& callbacks = {});

// What the library has allocated for the context and the weights under it or, after a dry load,
// would allocate.
Footprint footprint(const llama_context* context, const ContextSpec& spec, const Device& device);

// The rules of a grammar in GBNF; the first is a reference to its "root". Throws InvalidRequest. A
// hostile grammar can crash or hang the library: call it in a process set aside for that, in which
// the library's own complaint goes to the standard error.
GrammarRules parse_gbnf(const std::string& text);

}  // namespace lmx
