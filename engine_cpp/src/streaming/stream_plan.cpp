#include "lmx/streaming/stream_plan.hpp"

#include <algorithm>

namespace lmx {
namespace {

// Of `all` layers `count` are streamed: is this one of them? The last one always is, the first
// one only when there is no other choice, so that the output and the sampling hide its copy.
bool is_streamed(std::uint64_t layer, std::uint64_t count, std::uint64_t all) {
  return (layer + 1) * count / all > layer * count / all;
}

// The slots in turn. Behind the last layer comes the first one again: where both would have the
// first slot, the last layer takes the one that was free for longest.
std::vector<std::uint32_t> slots_in_turn(std::uint32_t count, std::uint32_t slots) {
  std::vector<std::uint32_t> slot_of(count);
  for (std::uint32_t i = 0; i < count; ++i) slot_of[i] = i % slots;
  if (count > 1 && slots >= 3 && slot_of.back() == 0) slot_of.back() = 1;
  return slot_of;
}

}  // namespace

Bytes LayerSizes::whole() const {
  Bytes sum = fixed;
  for (Bytes layer : layers) sum = add_saturating(sum, layer);
  return sum;
}

StreamPlan plan_streaming(const LayerSizes& needs, std::uint32_t resident, std::uint32_t slots) {
  const auto all = static_cast<std::uint32_t>(needs.layers.size());
  StreamPlan plan;
  plan.resident = std::min(resident, all);
  const std::uint32_t count = all - plan.resident;
  plan.slots = std::min(std::max(slots, 1U), count);
  plan.weight_bytes = needs.fixed;
  for (std::uint32_t layer = 0; layer < all; ++layer) {
    const bool streamed = is_streamed(layer, count, all);
    if (streamed) plan.streamed.push_back(layer);
    Bytes& bytes = streamed ? plan.host_bytes : plan.weight_bytes;
    bytes = add_saturating(bytes, needs.layers[layer]);
  }
  if (count > 0) plan.slot_of = slots_in_turn(count, plan.slots);
  for (std::uint32_t i = 0; i < plan.slots; ++i) {
    plan.slot_bytes = add_saturating(plan.slot_bytes, needs.slot);
  }
  return plan;
}

std::optional<StreamPlan> fit_streaming(const LayerSizes& needs, Bytes room, std::uint32_t slots) {
  if (!needs.possible()) return std::nullopt;
  for (auto resident = static_cast<std::uint32_t>(needs.layers.size());; --resident) {
    StreamPlan plan = plan_streaming(needs, resident, slots);
    if (plan.device_bytes() <= room) return plan;
    if (resident == 0) return std::nullopt;
  }
}

}  // namespace lmx
