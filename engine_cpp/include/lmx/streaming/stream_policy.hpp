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

// What is expected of a streamed model: sequences at once, and tokens of each.
struct StreamDemand {
  std::uint32_t sequences = 1;
  std::uint32_t prompt = 0;
  std::uint32_t completion = 1;
};

// A context that it may have: sequences, tokens of a decode, and what it takes.
struct ContextChoice {
  std::uint32_t n_seq = 1;
  std::uint32_t n_batch = 512;
  Bytes bytes = 0;
};

struct StreamedChoice {
  ContextChoice context;
  StreamPlan plan;
};

// The contexts, each with the plan that leaves it its room; best first, by the bytes that are
// streamed for each sequence. One pass serves all sequences and a whole batch of a prompt, so that
// a sequence or a larger batch is worth more than a layer less to stream, until it is not. Only
// what fits into `room` bytes of the device and `host_room` of host memory.
std::vector<StreamedChoice> streamed_choices(const LayerSizes& sizes, const StreamPolicy& policy,
                                             const std::vector<ContextChoice>& contexts,
                                             const StreamDemand& demand, Bytes room,
                                             Bytes host_room);

// What a pass would stream with `room` bytes of the device for the weights; `otherwise` where they
// do not do.
Bytes streamed_within(const LayerSizes& sizes, const StreamPolicy& policy, Bytes room,
                      Bytes otherwise);

}  // namespace lmx
