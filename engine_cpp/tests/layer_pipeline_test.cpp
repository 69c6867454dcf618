#include "lmx/streaming/layer_pipeline.hpp"

#include <atomic>

#include "check.hpp"
#include "lmx/base/errors.hpp"
#include "lmx/streaming/stream_plan.hpp"

using namespace lmx;

namespace {

using Layers = std::vector<std::uint32_t>;

std::vector<std::uint32_t> slots_for(std::uint32_t layers, std::uint32_t slots) {
  const LayerSizes needs{.layers = std::vector<Bytes>(layers, 1), .slot = 1};
  return plan_streaming(needs, 0, slots).slot_of;
}

// Copies that are held back until they are let through, and remembered.
class Gate {
 public:
  void pass(std::uint32_t layer) {
    std::unique_lock lock(mutex_);
    begun_.push_back(layer);
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_ > 0; });
    if (open_ != kAll) open_ -= 1;
  }
  void let_through(int copies) {
    const std::lock_guard lock(mutex_);
    open_ += copies;
    changed_.notify_all();
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = kAll;
    changed_.notify_all();
  }
  Layers wait_for(std::ptrdiff_t copies) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return std::ssize(begun_) >= copies; });
    return {begun_.begin(), begun_.begin() + copies};
  }

 private:
  static constexpr int kAll = 1 << 20;
  std::mutex mutex_;
  std::condition_variable changed_;
  Layers begun_;
  int open_ = 0;
};

bool fails(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error&) {
    return true;
  }
  return false;
}

}  // namespace

TEST("in every pass each layer is in its slot when it is used") {
  for (std::uint32_t layers = 1; layers <= 7; ++layers) {
    for (std::uint32_t slots = 1; slots <= 4; ++slots) {
      const auto slot_of = slots_for(layers, slots);
      std::vector<std::uint32_t> memory(slots, 999);
      LayerPipeline pipeline(slot_of, [&](std::uint32_t layer) { memory[slot_of[layer]] = layer; });
      bool right = true;
      for (int pass = 0; pass < 20; ++pass) {
        for (std::uint32_t layer = 0; layer < layers; ++layer) {
          pipeline.acquire(layer);
          right = right && memory[slot_of[layer]] == layer;
          pipeline.release();
        }
        CHECK(!pipeline.in_pass());
      }
      CHECK(right);
      CHECK(pipeline.counters().passes == 20);
    }
  }
}

TEST("layers are copied ahead, but never into a slot in use") {
  Gate gate;
  const auto slot_of = slots_for(4, 2);
  LayerPipeline pipeline(slot_of, [&](std::uint32_t layer) { gate.pass(layer); });
  gate.let_through(2);
  pipeline.acquire(0);
  CHECK(gate.wait_for(2) == Layers{0, 1});
  pipeline.acquire(1);
  pipeline.release();
  CHECK(gate.wait_for(3) == Layers{0, 1, 2});
  gate.open();
  CHECK(gate.wait_for(4) == Layers{0, 1, 2, 3});
}

TEST("the first layers of the next pass are copied behind the last one") {
  Gate gate;
  LayerPipeline pipeline(slots_for(4, 2), [&](std::uint32_t layer) { gate.pass(layer); });
  gate.open();
  for (std::uint32_t layer = 0; layer < 4; ++layer) {
    pipeline.acquire(layer);
    pipeline.release();
  }
  CHECK(gate.wait_for(6) == Layers{0, 1, 2, 3, 0, 1});
}

TEST("a layer that has a slot for itself is copied once") {
  std::atomic<int> copies = 0;
  LayerPipeline pipeline({0, 1, 2}, [&](std::uint32_t) { ++copies; });
  for (int i = 0; i < 30; ++i) {
    pipeline.acquire(static_cast<std::uint32_t>(i % 3));
    pipeline.release();
  }
  CHECK(copies == 3);
}

TEST("an unforeseen order costs copies and nothing else") {
  const auto slot_of = slots_for(5, 2);
  std::vector<std::uint32_t> memory(2, 999);
  LayerPipeline pipeline(slot_of, [&](std::uint32_t layer) { memory[slot_of[layer]] = layer; });
  for (std::uint32_t layer : {4U, 0U, 2U, 2U, 1U, 3U, 0U, 4U}) {
    pipeline.acquire(layer);
    CHECK(memory[slot_of[layer]] == layer);
    pipeline.release();
  }
}

TEST("two layers in use cannot have one slot") {
  LayerPipeline pipeline(slots_for(4, 2), [](std::uint32_t) {});
  pipeline.acquire(0);
  pipeline.acquire(1);
  pipeline.acquire(0);
  CHECK(fails([&] { pipeline.acquire(2); }));
  pipeline.restart();
  pipeline.acquire(2);
}

TEST("a failed copy is told to whoever needs the layer, and tried again after a restart") {
  std::atomic<bool> broken = true;
  LayerPipeline pipeline(slots_for(4, 2), [&](std::uint32_t layer) {
    if (layer == 2 && broken) throw Error("the bus is on fire");
  });
  for (std::uint32_t layer : {0U, 1U}) {
    pipeline.acquire(layer);
    pipeline.release();
  }
  CHECK(fails([&] { pipeline.acquire(2); }));
  CHECK(fails([&] { pipeline.acquire(2); }));
  broken = false;
  pipeline.restart();
  CHECK(!pipeline.in_pass());
  for (std::uint32_t layer = 0; layer < 4; ++layer) {
    pipeline.acquire(layer);
    pipeline.release();
  }
}

TEST("a pass that is given up begins again with the first layer") {
  const auto slot_of = slots_for(5, 2);
  std::vector<std::uint32_t> memory(2, 999);
  LayerPipeline pipeline(slot_of, [&](std::uint32_t layer) { memory[slot_of[layer]] = layer; });
  for (std::uint32_t last = 0; last < 5; ++last) {
    for (std::uint32_t layer = 0; layer <= last; ++layer) {
      pipeline.acquire(layer);
      CHECK(memory[slot_of[layer]] == layer);
      if (layer != last) pipeline.release();
    }
    CHECK(pipeline.in_pass());
    pipeline.restart();
    CHECK(!pipeline.in_pass());
  }
}

TEST("a pipeline ends only when the copy under way has ended") {
  std::atomic<bool> ended = false;
  Gate gate;
  std::thread later;
  {
    LayerPipeline pipeline(slots_for(4, 2), [&](std::uint32_t layer) {
      gate.pass(layer);
      ended = true;
    });
    gate.wait_for(1);
    later = std::thread([&] { gate.open(); });
  }
  CHECK(ended);
  later.join();
}
