// When models are streamed, and how the device is divided between resident layers and sequences.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lmx/memory/planner.hpp"
#include "lmx/streaming/stream_plan.hpp"

namespace lmx {

// automatic: what would not fit otherwise. always: every model that can be.
enum class StreamingMode { automatic, off, always };

struct StreamPolicy {
  StreamingMode mode = StreamingMode::automatic;
  std::optional<std::uint32_t> resident_layers;  // at most so many; with `always` exactly so many
  std::uint32_t slots = kStreamSlots;
};

// "auto", "off" or "always"; throws InvalidRequest for another word.
StreamingMode streaming_mode(const std::string& name);

// For the planner: what the model takes when it is streamed. Any set of resident layers takes no
// more than it says, and all sizes hold to the byte where the layers are equal.
std::optional<StreamNeeds> stream_needs(const LayerSizes& sizes, const StreamPolicy& policy);

// A context of `n_seq` sequences upon a streamed model.
struct StreamedChoice {
  std::uint32_t n_seq = 1;
  StreamPlan plan;
};

// `contexts` are the bytes of contexts of so many sequences each. Best first: one pass of streaming
// serves all sequences, so that a sequence more is worth more than a layer less to stream, until it
// is not; `demand` sequences are expected. Only what fits into `room` bytes of the device and
// `host_room` of host memory.
std::vector<StreamedChoice> streamed_choices(
    const LayerSizes& sizes, const StreamPolicy& policy,
    const std::vector<std::pair<std::uint32_t, Bytes>>& contexts, std::uint32_t demand, Bytes room,
    Bytes host_room);

}  // namespace lmx
