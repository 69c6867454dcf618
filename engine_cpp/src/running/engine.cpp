#include "lmx/running/engine.hpp"

#include <cmath>
#include <map>

#include "lmx/base/errors.hpp"

namespace lmx {
namespace {

SchedulerOptions scheduler_options(const EngineOptions& options, const Device& device) {
  if (options.threads < 1) throw InvalidRequest("threads must be 1 or more");
  if (options.max_slots < 1 || options.max_slots > llama_max_parallel_sequences()) {
    throw InvalidRequest("max_slots must be between 1 and " +
                         std::to_string(llama_max_parallel_sequences()));
  }
  const Bytes cap = options.cap.value_or(device.total() / 10 * 9);
  if (cap == 0) throw InvalidRequest("the memory cap must be more than 0 bytes");
  if (const Bytes total = device.total(); total > 0 && cap > total) {
    throw InvalidRequest("the memory cap of " + mib(cap) + " is more than the " + mib(total) +
                         " of " + device.name + "; lower it");
  }
  return {.device = device,
          .cap = cap,
          .threads = options.threads,
          .max_slots = options.max_slots,
          .patience_s = options.patience_s,
          .quantum_s = options.quantum_s,
          .host_bytes = options.host_bytes.value_or(default_host_bytes(device, cap)),
          .spill_dir = options.spill_dir,
          .spill_bytes = options.spill_bytes,
          .streaming = options.streaming,
          .copies = options.copies};
}

std::optional<Clock::time_point> deadline_after(const std::optional<double>& seconds) {
  if (!seconds) return std::nullopt;
  constexpr double kYear = 365.0 * 24 * 3600;
  if (!std::isfinite(*seconds) || *seconds < 0) {
    throw InvalidRequest("deadline_s must be 0 or more seconds");
  }
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(std::min(*seconds, kYear)));
}

void check_output(const Prompt& prompt) {
  constexpr std::uint32_t kMaxLogprobs = 20;
  if (prompt.logprobs && *prompt.logprobs > kMaxLogprobs) {
    throw InvalidRequest("logprobs must be between 0 and " + std::to_string(kMaxLogprobs));
  }
  if (prompt.constraint && prompt.constraint->is_whole() && !prompt.stops.empty()) {
    throw InvalidRequest(
        "a stop string would cut a text short of its grammar; leave out stop= or the grammar");
  }
}

Mode mode_of(const std::string& name) {
  if (name == "throughput") return Mode::throughput;
  if (name == "deterministic") return Mode::deterministic;
  throw InvalidRequest("mode is '" + name + "' but must be one of throughput, deterministic");
}

void check_context(const ModelInfo& info, std::uint32_t n_ctx) {
  if (info.n_ctx_train == 0 || n_ctx <= info.n_ctx_train) return;
  throw InvalidRequest("n_ctx is " + std::to_string(n_ctx) + " but " + info.path +
                       " was trained for " + std::to_string(info.n_ctx_train) +
                       " tokens; ask for no more than that");
}

void check_kind(const ModelInfo& info, const ContextSpec& context) {
  if (!context.embeds() && !info.generates) {
    throw ModelFileError(info.path + ": a model of kind '" + info.arch +
                         "' does not generate text from a prompt; embed() takes it");
  }
}

std::vector<llama_token> tokens_of(const DryModel& model, const Prompt& prompt,
                                   const ContextSpec& context) {
  if (!context.embeds()) return model.tokenize(prompt.text, context.n_ctx - 1);
  return prompt.truncate ? model.tokenize_cut(prompt.text, context.n_ctx)
                         : model.tokenize(prompt.text, context.n_ctx);
}

}  // namespace

Bytes default_host_bytes(const Device& device, Bytes cap) {
  const Bytes host = resolve_device("cpu").total();
  if (!device.is_cpu) return host / 2;
  return std::max(sub_floor(host / 10 * 9, cap), host / 32);
}

std::shared_ptr<Estimator> estimator_for(const std::string& name) {
  // Never destroyed: models must not be freed after the library's own statics.
  static auto* mutex = new std::mutex;
  static auto* estimators = new std::map<std::string, std::shared_ptr<Estimator>>;
  const Device device = resolve_device(name);
  const std::lock_guard lock(*mutex);
  auto& estimator = (*estimators)[device.name];
  if (!estimator) estimator = std::make_shared<Estimator>(device);
  return estimator;
}

Engine::Engine(const EngineOptions& options) : Engine(options, resolve_device(options.device)) {}

Engine::Engine(const EngineOptions& options, Device device)
    : streaming_(options.streaming),
      estimator_(estimator_for(device.name)),
      scheduler_(scheduler_options(options, device), estimator_) {}

std::shared_ptr<Request> Engine::submit(const Prompt& prompt) {
  const auto model = estimator_->open(prompt.model);
  if (prompt.max_tokens == 0) throw InvalidRequest("max_tokens must be 1 or more");
  check_kind(model->info(), prompt.context);
  check_context(model->info(), prompt.context.n_ctx);
  check_output(prompt);
  validate(prompt.sampling, static_cast<std::int32_t>(model->info().n_vocab));

  RequestSpec spec;
  spec.id = ++last_id_;
  spec.session = prompt.session;
  spec.mode = mode_of(prompt.mode);
  spec.exact_batch = prompt.exact_batch;
  spec.model = model;
  spec.model_id = scheduler_.model_id(model->identity());
  spec.context = prompt.context;
  spec.context.n_seq = 1;
  spec.context = normalised(spec.context);
  spec.deadline = deadline_after(prompt.deadline_s);
  spec.prompt = tokens_of(*model, prompt, spec.context);
  spec.needs = estimator_->estimate(model, spec.context);
  spec.layers = layers_to_stream(model, spec.needs);
  spec.may_widen = prompt.may_widen;
  if (spec.layers) spec.stream = stream_needs(spec.layers->sizes, streaming_);
  refuse_what_never_fits(prompt, spec);
  spec.max_tokens = prompt.max_tokens;
  spec.sampling = prompt.sampling;
  spec.stops = prompt.stops;
  spec.constraint = prompt.constraint;
  spec.preserved = model->control_tokens(prompt.preserved);
  spec.logprobs = prompt.logprobs;
  spec.max_unread = prompt.max_unread;
  return scheduler_.submit(std::move(spec));
}

std::shared_ptr<const ModelLayers> Engine::layers_to_stream(
    const std::shared_ptr<const DryModel>& model, const Footprint& needs) {
  const bool wanted =
      streaming_.mode == StreamingMode::always ||
      (streaming_.mode == StreamingMode::automatic && needs.total() > scheduler_.cap());
  return wanted ? estimator_->layers(model) : nullptr;
}

// As the planner would answer with nothing else on the device.
void Engine::refuse_what_never_fits(const Prompt& prompt, const RequestSpec& spec) {
  const Bytes needs = spec.needs.total();
  const Capacity empty{.cap = scheduler_.cap(), .host_cap = scheduler_.host()->cap()};
  const Job job{.weights = {{spec.model_id, spec.needs.weights}},
                .context_bytes = spec.needs.context(),
                .stream = spec.stream};
  if (lmx::plan(empty, {}, {job}).front().verdict != Verdict::never) return;
  std::string what = prompt.model;
  if (spec.layers && !spec.stream)
    what += " (not to be streamed: " + spec.layers->map.refusal + ")";
  throw NeverFits(what, {needs, scheduler_.cap(), scheduler_.free()});
}

Job Engine::job(const std::string& id, const std::string& path, const ContextSpec& context,
                bool aged) {
  const auto model = estimator_->open(path);
  check_context(model->info(), context.n_ctx);
  const ContextSpec spec = normalised(context);
  const Footprint needs = estimator_->estimate(model, spec);
  const auto layers = layers_to_stream(model, needs);
  ContextSpec alone = spec;
  alone.n_seq = 1;
  return {.id = id,
          .weights = {{scheduler_.model_id(model->identity()), needs.weights}},
          // Several sequences at once are never served by one free slot of a context.
          .context = Scheduler::context_key(alone) +
                     (spec.n_seq > 1 ? " x" + std::to_string(spec.n_seq) : ""),
          .context_bytes = needs.context(),
          .aged = aged,
          .stream = layers ? stream_needs(layers->sizes, streaming_) : std::nullopt};
}

Footprint Engine::estimate(const std::string& model, const ContextSpec& context) {
  return estimator_->estimate(model, context);
}

}  // namespace lmx
