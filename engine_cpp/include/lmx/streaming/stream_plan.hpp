// Which layers of a model stay on the device and through which slots the others pass.
//
// Pure: knows nothing of a model or of ggml, so that the planner and a test can ask it too.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lmx/base/bytes.hpp"

namespace lmx {

inline constexpr std::uint32_t kStreamSlots = 2;  // one is computed with while one is filled

// The bytes of a model on the device, told apart by whether they can be streamed.
struct LayerSizes {
  Bytes fixed = 0;            // what is always there: embeddings, output, what layers share
  std::vector<Bytes> layers;  // each layer that can be streamed, in the order of their use
  Bytes slot = 0;             // one slot, which has room for any of these layers
  std::string refusal;        // why the model cannot be streamed; empty when it can

  bool possible() const { return refusal.empty() && !layers.empty(); }
  Bytes whole() const;
};

// Layers are meant by their index in LayerSizes::layers.
struct StreamPlan {
  std::uint32_t resident = 0;           // number of layers that stay
  std::uint32_t slots = 0;              // 0 when all of them do
  std::vector<std::uint32_t> streamed;  // in the order of their use
  std::vector<std::uint32_t> slot_of;   // for each of `streamed`
  Bytes weight_bytes = 0;               // on the device: fixed and resident
  Bytes slot_bytes = 0;                 // on the device: all slots
  Bytes host_bytes = 0;                 // in host memory: the streamed layers

  Bytes device_bytes() const { return add_saturating(weight_bytes, slot_bytes); }
};

// Spreads the streamed layers evenly, so that each copy has resident layers to hide behind. There
// are never more slots than streamed layers, and two that follow each other share none where that
// is possible. `resident` may be any number: all layers are as many as there can be.
StreamPlan plan_streaming(const LayerSizes& needs, std::uint32_t resident,
                          std::uint32_t slots = kStreamSlots);

// The plan with the most resident layers that takes at most `room` bytes of the device; none when
// not even the slots fit, or when the model cannot be streamed.
std::optional<StreamPlan> fit_streaming(const LayerSizes& needs, Bytes room,
                                        std::uint32_t slots = kStreamSlots);

}  // namespace lmx
