// The engine as its users see it: submit prompts for model files, read text, ask what fits.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lmx/running/scheduler.hpp"

namespace lmx {

struct EngineOptions {
  std::string device = "auto";
  std::optional<Bytes> cap;  // nine tenths of the device by default
  std::int32_t threads = 1;
  std::uint32_t max_slots = 8;
  double patience_s = 1.0;
  double quantum_s = 2.0;
  std::optional<Bytes> host_bytes;  // for sequences in no slot; see default_host_bytes()
  std::string spill_dir;            // empty: they are never written to disk
  Bytes spill_bytes = Bytes{16} << 30;
  StreamPolicy streaming;
  CopyOptions copies;
};

struct Prompt {
  std::string model;  // path of a GGUF file
  std::string text;
  std::uint32_t max_tokens = 128;
  ContextSpec context;
  Sampling sampling;
  std::vector<std::string> stops;
  std::optional<double> deadline_s;
  std::optional<Constraint> constraint;
  std::vector<std::string> preserved;  // texts of control tokens that are part of the answer
  std::optional<std::uint32_t> logprobs;
  std::string session;
  std::string mode = "throughput";  // or "deterministic"
  std::size_t max_unread = 1U << 16;
  std::uint32_t exact_batch = 1;  // see RequestSpec
  bool truncate = false;          // a text to embed that is too long
  bool may_widen = false;         // see RequestSpec
};

// Half of the host's memory beside a GPU. On the CPU device what the cap leaves of nine tenths of
// it, and a thirty-second part at least.
Bytes default_host_bytes(const Device& device, Bytes cap);

// One estimator for each device of this process, so that its cache is shared by all who ask.
std::shared_ptr<Estimator> estimator_for(const std::string& device);

// All members are thread-safe.
class Engine {
 public:
  explicit Engine(const EngineOptions& options);

  // Queues the prompt. Throws ModelFileError, InvalidRequest, PromptTooLong, or NeverFits when the
  // request is larger than the cap.
  std::shared_ptr<Request> submit(const Prompt& prompt);

  // What the planner must know of a context on this model file. Throws ModelFileError or
  // InvalidRequest.
  Job job(const std::string& id, const std::string& model, const ContextSpec& context, bool aged);

  // Which of these could start now, behind what is already queued.
  Projection project(const std::vector<Job>& jobs) { return scheduler_.project(jobs); }

  Footprint estimate(const std::string& model, const ContextSpec& context);
  ModelInfo inspect(const std::string& model) { return estimator_->open(model)->info(); }

  void pin(const std::string& model, bool pinned) { scheduler_.pin(model, pinned); }
  std::optional<Denial> hold(const std::string& holder, Bytes bytes, HoldMode mode) {
    return scheduler_.hold(holder, bytes, mode);
  }
  Bytes release(const std::string& holder) { return scheduler_.release(holder); }
  void see(Sighting sighting) { scheduler_.see(std::move(sighting)); }
  // Drops what is kept of a session that is not running, in slots, memory and files.
  void forget(const std::string& session) { scheduler_.forget(session); }
  Snapshot snapshot() { return scheduler_.snapshot(); }
  void close() { scheduler_.close(); }

 private:
  Engine(const EngineOptions& options, Device device);

  // How the model may run streamed, if the policy wants that for these needs.
  std::shared_ptr<const ModelLayers> layers_to_stream(const std::shared_ptr<const DryModel>& model,
                                                      const Footprint& needs);
  void refuse_what_never_fits(const Prompt& prompt, const RequestSpec& spec);

  const StreamPolicy streaming_;
  std::shared_ptr<Estimator> estimator_;
  Scheduler scheduler_;
  std::atomic<std::uint64_t> last_id_ = 0;
};

}  // namespace lmx
