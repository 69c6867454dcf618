// A context and the sequences that share it: one slot for each running request, one decode for all
// of them together.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lmx/llama/models.hpp"
#include "lmx/running/request.hpp"
#include "lmx/text/sampling.hpp"
#include "lmx/text/text_stream.hpp"

namespace lmx {

// How a request ended. Told to its consumer only when the books are in order, so that whoever
// reads a result and then looks at the engine sees it accounted for.
struct Ending {
  std::shared_ptr<Request> request;
  std::string reason;        // empty when it failed
  std::exception_ptr error;  // null when it did not

  void announce() const;
};

// What one decode did.
struct Step {
  std::uint32_t sequences = 0;  // in the batch
  std::uint32_t prefill_tokens = 0;
  std::uint32_t completion_tokens = 0;
  double seconds = 0;
  std::vector<Ending> endings;
};

// The sequence of one request.
struct Slot {
  std::shared_ptr<Request> request;
  SamplerChain sampler;
  TextStream text;
  std::optional<Grammar> grammar;
  std::uint32_t n_past = 0;    // tokens whose keys and values are in the cache
  llama_token next_token = 0;  // sampled but not yet decoded
  std::int32_t output_row = -1;

  bool prefilling() const { return n_past < request->spec().prompt.size(); }
};

// Belongs to the scheduler thread, except for the const members.
class Context {
 public:
  // Allocates; the bytes must have been reserved. Throws Error when an allocation fails.
  Context(std::string id, std::shared_ptr<ResidentModel> model, const ContextSpec& spec,
          std::int32_t threads);
  ~Context();

  const std::string& id() const { return id_; }
  const ResidentModel& model() const { return *model_; }
  const ContextSpec& spec() const { return spec_; }
  std::uint32_t active() const { return active_.load(); }
  std::uint32_t free_slots() const { return spec_.n_seq - active(); }
  double build_s() const { return build_s_; }
  Clock::time_point last_used() const { return last_used_.load(); }

  Footprint footprint(const Device& device) const;

  // Decodes the largest batch once, so that a device allocates whatever it allocates lazily.
  void warm_up();

  void add(std::shared_ptr<Request> request);

  // One decode for all slots. The slots of requests that ended are free again. Throws Error when
  // the decode failed; the context is then of no more use.
  Step step();

  // Ends all requests with this error.
  std::vector<Ending> fail_all(const std::exception_ptr& error);

 private:
  struct Batch;

  static bool should_abort(void* self);
  void retire_ended(Step& step);
  void fill_batch(Step& step);
  void decode_batch();
  void sample(std::uint32_t index, Step& step);
  llama_token choose(Slot& slot, const float* logits);
  void accept(std::uint32_t index, llama_token token, Step& step);
  Ending end(std::uint32_t index, const std::string& reason, std::exception_ptr error);

  const std::string id_;
  const std::shared_ptr<ResidentModel> model_;
  const ContextSpec spec_;
  const llama_vocab* vocab_;
  ContextHandle handle_;
  double build_s_ = 0;
  std::vector<Slot> slots_;
  std::unique_ptr<Batch> batch_;
  std::vector<const Request*> in_batch_;  // read by should_abort during a decode
  std::atomic<std::uint32_t> active_ = 0;
  std::atomic<Clock::time_point> last_used_ = Clock::now();
};

}  // namespace lmx
