// A context and the sequences that share it: one slot for each running request, one decode for all
// of them together. What has ended stays in its slot, so that the next may go on from there.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lmx/llama/models.hpp"
#include "lmx/running/batch.hpp"
#include "lmx/running/request.hpp"
#include "lmx/running/reuse.hpp"
#include "lmx/running/slot.hpp"

namespace lmx {

// How a request ended. Told to its consumer only when the books are in order, so that whoever
// reads a result and then looks at the engine sees it accounted for.
struct Ending {
  std::shared_ptr<Request> request;
  std::string reason;        // empty when it failed
  std::exception_ptr error;  // null when it did not

  void announce() const;
};

// What one decode did. Of its `seconds` the library took `decode_s`, the choice of tokens
// `sample_s`.
struct Step {
  std::uint32_t sequences = 0;  // in the batch
  std::uint32_t prefill_tokens = 0;
  std::uint32_t completion_tokens = 0;
  double seconds = 0;
  double decode_s = 0;
  double sample_s = 0;
  std::vector<Ending> endings;
};

// What a parked sequence is, beside its keys and values.
struct Parked {
  std::span<const llama_token> tokens;
  std::uint32_t exact_until = 0;
  std::string session;
};

struct ContextOptions {
  std::int32_t threads = 1;
  std::uint32_t n_batch = 0;  // tokens of a decode, where that is more than the spec's n_ubatch
};

// Belongs to the scheduler thread, except for the const members that return copies.
class Context {
 public:
  // Allocates; the bytes must have been reserved. Throws Error when an allocation fails.
  Context(std::string id, std::shared_ptr<ResidentModel> model, const ContextSpec& spec,
          const ContextOptions& options);
  ~Context();

  const std::string& id() const { return id_; }
  const ResidentModel& model() const { return *model_; }
  const ContextSpec& spec() const { return spec_; }
  const MemoryTraits& memory() const { return memory_; }
  std::uint32_t active() const { return active_.load(); }
  std::uint32_t parked() const { return parked_.load(); }
  std::uint32_t free_slots() const { return spec_.n_seq - active(); }
  double build_s() const { return build_s_; }
  Clock::time_point last_used() const { return last_used_.load(); }

  Footprint footprint(const Device& device) const;

  // Decodes the largest batch once, so that a device allocates whatever it allocates lazily.
  void warm_up();

  // The slots as the choice among them sees them. `session` is that of the request.
  std::vector<Held> held(const std::string& session) const;
  const std::vector<Slot>& slots() const { return slots_; }

  // A generation in the state before its first token.
  std::unique_ptr<Generation> begin(std::shared_ptr<Request> request) const;

  // Lets it run in a slot that is not running, from the first `keep` tokens that the slot holds.
  void add(std::unique_ptr<Generation> generation, std::uint32_t index, std::uint32_t keep);

  // Takes the generation out; its sequence stays parked.
  std::unique_ptr<Generation> suspend(std::uint32_t index);

  // Forgets what is parked in the slot.
  void clear(std::uint32_t index);

  // The keys and values of a slot as bytes: how many at most, and a copy of them, of which this
  // many were used (0: could not be had).
  Bytes state_bytes(std::uint32_t index) const;
  Bytes save(std::uint32_t index, std::span<std::byte> into) const;

  // Parks a saved sequence in a slot that is not running, and forgets what was there. Bytes from a
  // context with another number of slots need `scratch` of restored_bytes(), which is otherwise 0.
  // False when they do not fit here; the slot is empty then.
  Bytes restored_bytes(std::span<const std::byte> bytes) const;
  bool restore(std::uint32_t index, const Parked& parked, std::span<const std::byte> bytes,
               std::span<std::byte> scratch);

  // Whether a slot has something to decode now.
  bool runnable() const;

  // Seconds of a decode for the streams in its slots; 0 when none runs.
  double stream_s() const;

  // Seconds that the prompts in its slots will still take, from what was seen.
  double prefill_left_s() const;

  // One decode for all slots that may share it; its prompts do not hold up streams elsewhere, whose
  // decodes take `others_s` (0: there are none). The slots of requests that ended are parked.
  // Throws Error when the decode failed; the context is then of no more use.
  Step step(double others_s);

  // Ends all requests with this error.
  std::vector<Ending> fail_all(const std::exception_ptr& error);

  // Seconds that prefilling so many tokens would take, from what was seen.
  double prefill_s(std::uint32_t tokens) const { return prefill_token_s_ * tokens; }

 private:
  static bool should_abort(void* self);
  void retire_ended(Step& step);
  void fill_batch(double others_s);
  std::vector<std::uint32_t> next_turn();
  void add_streams(const std::vector<std::uint32_t>& turn);
  void add_prompts(const std::vector<std::uint32_t>& turn, double others_s);
  void add_to_batch(std::uint32_t index, std::uint32_t n);
  bool decode_batch();
  void advance(Step& step);
  void recover_after_abort();
  void learn_speed(const Step& step, bool streams);
  void pool(std::uint32_t index, Step& step);
  void sample(std::uint32_t index, Step& step);
  llama_token choose(Slot& slot, const float* logits);
  void accept(std::uint32_t index, llama_token token, Step& step);
  std::uint32_t trim(std::uint32_t index, std::uint32_t n);
  void park(std::uint32_t index);
  Ending end(std::uint32_t index, const std::string& reason, std::exception_ptr error);

  const std::string id_;
  const std::shared_ptr<ResidentModel> model_;
  const ContextSpec spec_;
  const ContextOptions options_;
  const llama_vocab* vocab_;
  ContextHandle handle_;
  MemoryTraits memory_;
  double build_s_ = 0;
  std::vector<Slot> slots_;
  std::unique_ptr<Batch> batch_;
  Shortlist shortlist_;
  std::uint32_t last_turn_ = 0;           // see next_turn()
  double stream_s_ = 0;                   // of a decode for streams alone, smoothed
  double prefill_token_s_ = 0;            // of a prompt's token, smoothed
  std::vector<const Request*> in_batch_;  // read by should_abort during a decode
  std::atomic<std::uint32_t> active_ = 0;
  std::atomic<std::uint32_t> parked_ = 0;
  std::atomic<Clock::time_point> last_used_ = Clock::now();
};

}  // namespace lmx
