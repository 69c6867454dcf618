#include "lmx/llama/llama_adapter.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <vector>

#include "lmx/base/errors.hpp"
#include "lmx/base/log.hpp"
#include "lmx/llama/heap.hpp"

// Exported by libllama but declared only in its llama-ext.h, which is not installed. The layout is
// that of LMX_LLAMA_VERSION; self_check() and footprint() refuse any other.
struct llama_memory_breakdown_data {
  std::size_t model = 0;
  std::size_t context = 0;
  std::size_t compute = 0;
};
using llama_memory_breakdown = std::map<ggml_backend_buffer_type_t, llama_memory_breakdown_data>;
LLAMA_API llama_memory_breakdown llama_get_memory_breakdown(const struct llama_context* ctx);

// The same for its llama-grammar.h.
struct llama_grammar;
struct llama_grammar_element {
  std::int32_t type;
  std::uint32_t value;
};
using llama_grammar_rules = std::vector<std::vector<llama_grammar_element>>;
LLAMA_API llama_grammar* llama_grammar_init_impl(const llama_vocab* vocab, const char* text,
                                                 const char* root, bool lazy, const char** patterns,
                                                 std::size_t n_patterns, const llama_token* tokens,
                                                 std::size_t n_tokens);
LLAMA_API const llama_grammar_rules& llama_grammar_get_rules(const llama_grammar* grammar);
LLAMA_API void llama_grammar_free_impl(llama_grammar* grammar);

namespace lmx {
namespace {

constexpr std::uint32_t kMaxContext = 1U << 24;  // tokens; far above any model, far below overflow
constexpr std::uint32_t kMaxCells = 1U << 30;    // tokens of all sequences of a context
constexpr std::uint32_t kContextStep = 256;      // the library pads each sequence to this

ggml_type kv_type_of(const std::string& name) {
  static const std::map<std::string, ggml_type> types = {
      {"f32", GGML_TYPE_F32},   {"f16", GGML_TYPE_F16},   {"bf16", GGML_TYPE_BF16},
      {"q8_0", GGML_TYPE_Q8_0}, {"q5_1", GGML_TYPE_Q5_1}, {"q5_0", GGML_TYPE_Q5_0},
      {"q4_1", GGML_TYPE_Q4_1}, {"q4_0", GGML_TYPE_Q4_0}};
  const auto found = types.find(name);
  if (found != types.end()) return found->second;
  throw InvalidRequest("kv_type is '" + name +
                       "' but must be one of f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0");
}

llama_flash_attn_type flash_attn_of(const std::string& name) {
  if (name == "auto") return LLAMA_FLASH_ATTN_TYPE_AUTO;
  if (name == "on") return LLAMA_FLASH_ATTN_TYPE_ENABLED;
  if (name == "off") return LLAMA_FLASH_ATTN_TYPE_DISABLED;
  throw InvalidRequest("flash_attn is '" + name + "' but must be one of auto, on, off");
}

enum llama_pooling_type pooling_of(const std::string& name) {
  if (name.empty()) return LLAMA_POOLING_TYPE_NONE;
  if (name == "mean") return LLAMA_POOLING_TYPE_MEAN;
  if (name == "cls") return LLAMA_POOLING_TYPE_CLS;
  if (name == "last") return LLAMA_POOLING_TYPE_LAST;
  throw InvalidRequest("pooling is '" + name + "' but must be one of mean, cls, last");
}

// The library tells of a refused allocation in words only.
bool is_lack_of_memory(const std::string& reason) {
  constexpr std::array kWords = {"insufficient memory", "bad_alloc", "to allocate",
                                 "out of memory"};
  return std::ranges::any_of(
      kWords, [&](const char* words) { return reason.find(words) != std::string::npos; });
}

bool on_progress(float, void* data) {
  const auto& keep_going = *static_cast<const std::function<bool()>*>(data);
  return !keep_going || keep_going();
}

// Ended by one without a pattern, as the library wants it.
std::vector<llama_model_tensor_buft_override> host_overrides(
    const Device& device, const std::vector<std::string>& patterns) {
  ggml_backend_buffer_type_t type = ggml_backend_dev_host_buffer_type(device.handle);
  if (type == nullptr) type = ggml_backend_cpu_buffer_type();
  std::vector<llama_model_tensor_buft_override> overrides;
  for (const std::string& pattern : patterns) overrides.push_back({pattern.c_str(), type});
  overrides.push_back({nullptr, nullptr});
  return overrides;
}

void check_file(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    throw ModelFileError(path + ": no such model file; check the path");
  }
  if (!std::filesystem::is_regular_file(status)) {
    throw ModelFileError(path + ": not a regular file; give the path of a .gguf file");
  }
}

}  // namespace

void self_check() {
  start_backends();
  const std::string found = llama_version();
  if (found != LMX_LLAMA_VERSION) {
    throw Error("lmx-engine was built for llama.cpp " LMX_LLAMA_VERSION " but found " + found +
                "; reinstall lmx-engine against the installed llama-cpp-python");
  }
}

ContextSpec normalised(ContextSpec spec) {
  if (spec.n_ctx == 0 || spec.n_ctx > kMaxContext) {
    throw InvalidRequest("n_ctx is " + std::to_string(spec.n_ctx) + " but must be between 1 and " +
                         std::to_string(kMaxContext) + " tokens");
  }
  if (spec.n_seq == 0 || spec.n_seq > llama_max_parallel_sequences()) {
    throw InvalidRequest("n_seq is " + std::to_string(spec.n_seq) + " but must be between 1 and " +
                         std::to_string(llama_max_parallel_sequences()));
  }
  spec.n_ctx = (spec.n_ctx + kContextStep - 1) / kContextStep * kContextStep;
  if (std::uint64_t{spec.n_ctx} * spec.n_seq > kMaxCells) {
    throw InvalidRequest(std::to_string(spec.n_seq) + " sequences of " +
                         std::to_string(spec.n_ctx) + " tokens are more than the " +
                         std::to_string(kMaxCells) + " that one context can hold");
  }
  if (spec.n_ubatch == 0) throw InvalidRequest("n_ubatch must be 1 or more");
  // The whole of a text must be in one batch to be pooled. The library reserves its buffers for
  // batches of a token of each sequence, at least.
  spec.n_ubatch = spec.embeds() ? spec.n_ctx : std::min(spec.n_ubatch, spec.n_ctx);
  spec.n_ubatch = std::max(spec.n_ubatch, spec.n_seq);
  pooling_of(spec.pooling);
  kv_type_of(spec.kv_type);
  flash_attn_of(spec.flash_attn);
  return spec;
}

ModelHandle load_model(const std::string& path, const Device& device, LoadMode mode,
                       const std::function<bool()>& keep_going,
                       const std::vector<std::string>& in_host_memory) {
  check_file(path);
  std::array<ggml_backend_dev_t, 2> devices = {device.is_cpu ? nullptr : device.handle, nullptr};
  llama_model_params params = llama_model_default_params();
  params.devices = devices.data();
  params.n_gpu_layers = device.is_cpu ? 0 : -1;
  params.load_mode = LLAMA_LOAD_MODE_NONE;  // mapped pages would not be counted by anybody
  params.no_alloc = mode == LoadMode::dry;
  const auto overrides = host_overrides(device, in_host_memory);
  if (overrides.size() > 1) {
    params.tensor_buft_overrides = overrides.data();
    params.use_extra_bufts = false;  // what is copied to the device must be as in the file
  }
  params.progress_callback = on_progress;
  params.progress_callback_user_data = const_cast<std::function<bool()>*>(&keep_going);

  const ErrorCapture errors;
  ModelHandle model(llama_model_load_from_file(path.c_str(), params));
  if (model) return model;
  if (keep_going && !keep_going()) throw Cancelled("the load was abandoned");
  const std::string reason = errors.reason("reason unknown");
  // A damaged file may name sizes that nobody has; only a real load is of a file that was checked.
  if (mode == LoadMode::real && is_lack_of_memory(reason)) {
    throw OutOfMemory(path + ": no memory for its weights: " + reason + "; lower the cap");
  }
  throw ModelFileError(path + ": cannot be loaded: " + reason);
}

ContextHandle make_context(llama_model* model, const ContextSpec& spec, std::int32_t threads,
                           const ContextCallbacks& callbacks) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = spec.n_ctx * spec.n_seq;
  params.n_batch = spec.n_ubatch;
  params.n_ubatch = spec.n_ubatch;
  params.n_seq_max = spec.n_seq;
  // One row of logits per sequence is all that is sampled; what is pooled is all of its tokens.
  params.n_outputs_max = spec.embeds() ? 0 : spec.n_seq;
  params.embeddings = spec.embeds();
  if (spec.embeds()) params.pooling_type = pooling_of(spec.pooling);
  params.n_threads = threads;
  params.n_threads_batch = threads;
  params.type_k = kv_type_of(spec.kv_type);
  params.type_v = params.type_k;
  params.flash_attn_type = flash_attn_of(spec.flash_attn);
  // With streams of their own, sequences do not change each other's bits. But then a batch is cut
  // where the shortest of them ends, and only what is behind the cut would be pooled.
  params.kv_unified = spec.embeds();
  params.abort_callback = callbacks.abort;
  params.abort_callback_data = callbacks.abort_data;
  params.cb_eval = callbacks.on_node;
  params.cb_eval_user_data = callbacks.on_node_data;

  const ErrorCapture errors;
  ContextHandle context(llama_init_from_model(model, params));
  if (context) return context;
  const std::string reason = errors.reason("an allocation failed");
  const std::string what = "no context of " + std::to_string(spec.n_seq) + " x " +
                           std::to_string(spec.n_ctx) + " tokens could be made: " + reason;
  if (is_lack_of_memory(reason)) throw OutOfMemory(what + "; lower the cap");
  throw Error(what);
}

Footprint footprint(const llama_context* context, const ContextSpec& spec, const Device& device) {
  const llama_model* model = llama_get_model(context);
  Footprint bytes;
  Bytes all_weights = 0;
  for (const auto& [buffer_type, part] : llama_get_memory_breakdown(context)) {
    all_weights = add_saturating(all_weights, part.model);
    const bool on_device = !ggml_backend_buft_is_host(buffer_type) &&  // pinned host memory is not
                           ggml_backend_buft_get_device(buffer_type) == device.handle;
    if (device.is_cpu || on_device) {
      bytes.weights = add_saturating(bytes.weights, part.model);
      bytes.kv = add_saturating(bytes.kv, part.context);
      bytes.compute = add_saturating(bytes.compute, part.compute);
    } else {
      bytes.host += part.model + part.context + part.compute;
    }
  }
  // The rows of logits are allocated at the first decode and are not part of the breakdown.
  const Bytes vocabulary = static_cast<Bytes>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
  const Bytes width = spec.embeds() ? static_cast<Bytes>(llama_model_n_embd_out(model)) : 0;
  const Bytes rows = spec.embeds() ? llama_n_batch(context) : llama_n_seq_max(context);
  const Bytes logits = (vocabulary + width) * sizeof(float) * rows;
  (device.is_cpu ? bytes.compute : bytes.host) += logits + context_heap(context);
  // Twice: the file stays open beside the weights, for its vocabulary.
  (device.is_cpu ? bytes.weights : bytes.host) += 2 * model_heap(model);

  const Bytes tensors = llama_model_size(model);
  if (all_weights < tensors || all_weights > 2 * tensors + (Bytes{64} << 20)) {
    throw Error("libllama reports " + mib(all_weights) + " of weights for " + mib(tensors) +
                " of tensors; this is not the llama.cpp that lmx-engine was built for");
  }
  return bytes;
}

GrammarRules parse_gbnf(const std::string& text) {
  start_backends();
  const std::string start = "lmx-start";
  const std::string whole = start + " ::= root\n" + text;  // rules are numbered as they are met
  const ErrorCapture errors;
  const std::unique_ptr<llama_grammar, void (*)(llama_grammar*)> grammar(
      llama_grammar_init_impl(nullptr, whole.c_str(), start.c_str(), false, nullptr, 0, nullptr, 0),
      llama_grammar_free_impl);
  if (!grammar) throw InvalidRequest(errors.reason("the grammar cannot be parsed"));
  GrammarRules rules;
  for (const auto& rule : llama_grammar_get_rules(grammar.get())) {
    auto& copy = rules.emplace_back();
    for (const auto& [type, value] : rule) {
      copy.push_back({static_cast<GrammarElement::Type>(type), value});
    }
  }
  return rules;
}

}  // namespace lmx
