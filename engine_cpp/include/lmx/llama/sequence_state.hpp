// The bytes that libllama gives for the keys and values of one sequence. They name the number of
// streams of their context, so that they fit into contexts with as many slots only; this changes
// that number. Pure; the layout is that of the library's version that self_check() insists on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace lmx {

struct SequenceState {
  std::uint32_t streams = 0;
  std::span<const std::byte> head;  // before the number of streams
  std::span<const std::byte> body;  // of the one stream that has cells
};

// Nothing when the bytes are not, from the first to the last, the state of a plain attention cache
// (no sliding window with a cache of its own, no recurrent part, no other kind).
std::optional<SequenceState> read_state(std::span<const std::byte> bytes);

// The length of the same for a context of so many streams.
std::size_t state_size(const SequenceState& state, std::uint32_t streams);

// Writes it; `into` has that length.
void write_state(const SequenceState& state, std::uint32_t streams, std::span<std::byte> into);

}  // namespace lmx
