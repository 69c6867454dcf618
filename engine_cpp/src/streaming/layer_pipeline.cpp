#include "lmx/streaming/layer_pipeline.hpp"

#include <algorithm>
#include <chrono>
#include <string>

#include "lmx/base/errors.hpp"

namespace lmx {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

}  // namespace

LayerPipeline::LayerPipeline(std::vector<std::uint32_t> slot_of, Copy copy)
    : slot_of_(std::move(slot_of)), copy_(std::move(copy)) {
  for (std::uint32_t layer = 0; layer < slot_of_.size(); ++layer) {
    if (slots_.size() <= slot_of_[layer]) slots_.resize(slot_of_[layer] + 1);
    slots_[slot_of_[layer]].layers.push_back(layer);
  }
  for (Slot& slot : slots_) {
    if (!slot.layers.empty()) slot.wanted = slot.layers.front();
  }
  thread_ = std::thread([this] { run(); });
}

LayerPipeline::~LayerPipeline() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void LayerPipeline::acquire(std::uint32_t layer) {
  Lock lock(mutex_);
  Slot& slot = slots_.at(slot_of_.at(layer));
  const bool here = slot.holds == layer;
  if (slot.in_use && !here) {
    throw Error("layers " + std::to_string(*slot.holds) + " and " + std::to_string(layer) +
                " of a streamed model are needed at once but share a slot");
  }
  if (!here) {
    position_ = layer;  // nothing is more urgent
    if (slot.wanted != layer) slot.error = nullptr;
    slot.wanted = layer;
    changed_.notify_all();
    const auto began = Clock::now();
    changed_.wait(lock, [&] { return slot.holds == layer || slot.error; });
    counters_.waits += 1;
    counters_.wait_s += seconds_since(began);
    if (slot.holds != layer) std::rethrow_exception(slot.error);
  }
  position_ = (layer + 1) % static_cast<std::uint32_t>(slot_of_.size());
  slot.wanted = layer;
  slot.in_use = true;
}

void LayerPipeline::release() {
  {
    const std::lock_guard lock(mutex_);
    release_locked();
  }
  changed_.notify_all();
}

void LayerPipeline::release_locked() {
  for (Slot& slot : slots_) {
    if (!slot.in_use) continue;
    slot.in_use = false;
    if (*slot.holds + 1 == slot_of_.size()) counters_.passes += 1;
    const auto later = std::ranges::upper_bound(slot.layers, *slot.holds);
    slot.wanted = later == slot.layers.end() ? slot.layers.front() : *later;
  }
}

void LayerPipeline::restart() {
  {
    const std::lock_guard lock(mutex_);
    for (Slot& slot : slots_) {
      slot.in_use = false;
      slot.error = nullptr;
      if (!slot.layers.empty()) slot.wanted = slot.layers.front();
    }
    position_ = 0;
  }
  changed_.notify_all();
}

bool LayerPipeline::in_pass() const {
  const std::lock_guard lock(mutex_);
  return position_ != 0 || std::ranges::any_of(slots_, &Slot::in_use);
}

PipelineCounters LayerPipeline::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

// How many layers come before this one is used.
std::uint32_t LayerPipeline::distance(std::uint32_t layer) const {
  const auto all = static_cast<std::uint32_t>(slot_of_.size());
  return (layer + all - position_) % all;
}

// The slot whose next layer is used soonest.
std::optional<std::uint32_t> LayerPipeline::next_copy() const {
  std::optional<std::uint32_t> best;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.layers.empty() || slot.in_use || slot.error || slot.holds == slot.wanted) continue;
    if (!best || distance(slot.wanted) < distance(slots_[*best].wanted)) best = i;
  }
  return best;
}

void LayerPipeline::run() {
  Lock lock(mutex_);
  for (;;) {
    std::optional<std::uint32_t> slot;
    changed_.wait(lock, [&] { return closing_ || (slot = next_copy()).has_value(); });
    if (closing_) return;
    fill(*slot, lock);
  }
}

void LayerPipeline::fill(std::uint32_t index, Lock& lock) {
  Slot& slot = slots_[index];
  const std::uint32_t layer = slot.wanted;
  slot.holds = std::nullopt;
  std::exception_ptr error;
  const auto began = Clock::now();
  lock.unlock();
  try {
    copy_(layer);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  counters_.copies += 1;
  counters_.copy_s += seconds_since(began);
  if (!error) {
    slot.holds = layer;
  } else if (slot.wanted == layer) {
    slot.error = error;
  }
  changed_.notify_all();
}

}  // namespace lmx
