// The slots of a streamed model over time: what is in them, what is copied next, who waits.
//
// Knows nothing of models or devices: the copying itself is a function that it is given. The copies
// run in a thread of their own, ahead of the computation, in the order in which the layers are
// used; behind the last layer comes the first one again, so that the next pass finds it ready.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace lmx {

struct PipelineCounters {
  std::uint64_t copies = 0;
  double copy_s = 0;         // time that the copier was busy
  std::uint64_t waits = 0;   // acquisitions that had to wait for a copy
  double wait_s = 0;         // and for how long in all
  std::uint64_t passes = 0;  // times that the last layer was released
};

// One thread computes: acquire() and release() in turn. Counters may be read by any thread.
class LayerPipeline {
 public:
  // Puts a streamed layer into its slot and returns when it is there; called by the copier's
  // thread. What it throws reaches whoever acquires that layer.
  using Copy = std::function<void(std::uint32_t layer)>;

  // `slot_of` tells for each streamed layer, in the order of their use, its slot. Copying begins
  // at once.
  LayerPipeline(std::vector<std::uint32_t> slot_of, Copy copy);
  // Waits for the copy that is under way.
  ~LayerPipeline();
  LayerPipeline(const LayerPipeline&) = delete;
  LayerPipeline& operator=(const LayerPipeline&) = delete;

  // Returns when the layer is in its slot, where it then stays until release(). Layers may be
  // acquired in any order, but the foreseen one is the fast one. Throws what its copy threw, and
  // Error when another layer in use has the same slot.
  void acquire(std::uint32_t layer);

  // All the layers acquired have been computed: their slots may be filled again.
  void release();

  // The pass was given up: whatever was acquired is released, failures are forgotten, and the
  // next pass is expected to begin with the first layer.
  void restart();

  // Whether a pass is under way: layers are in use, or the last one has not been yet.
  bool in_pass() const;

  PipelineCounters counters() const;

 private:
  struct Slot {
    std::vector<std::uint32_t> layers;   // that have this slot, in the order of their use
    std::optional<std::uint32_t> holds;  // nothing while it is being filled
    std::uint32_t wanted = 0;
    bool in_use = false;
    std::exception_ptr error;  // of the last copy of `wanted`
  };

  using Lock = std::unique_lock<std::mutex>;

  void run();
  std::optional<std::uint32_t> next_copy() const;
  void fill(std::uint32_t slot, Lock& lock);
  void release_locked();
  std::uint32_t distance(std::uint32_t layer) const;

  const std::vector<std::uint32_t> slot_of_;
  const Copy copy_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Slot> slots_;
  std::uint32_t position_ = 0;  // the layer that is expected next
  PipelineCounters counters_;
  bool closing_ = false;

  std::thread thread_;
};

}  // namespace lmx
