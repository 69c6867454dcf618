// How time is shared: between contexts, between prompts and streams, between those who run and
// those who wait. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace lmx {

// One of those who share the device: the seconds of it that it has had.
struct Share {
  bool wants = false;
  double used_s = 0;
};

// Who of them is next: of those that want to run the one that has had least.
std::optional<std::size_t> next_share(std::span<const Share> shares);

// What one that comes back counts as having had: the past in which it did not want to run gives it
// no claim on the future.
double used_on_return(std::span<const Share> shares, double used_s);

// Tokens of prompts that may be decoded beside running streams, so that these wait no longer than
// for a few of their own decodes. Seconds of such a decode, seconds of a prompt's token (0: not
// known yet), and the size of a batch.
std::uint32_t prefill_bite(double stream_s, double prefill_token_s, std::uint32_t batch);

// Tokens of the next decode of an exact prefill: up to the next multiple of a chunk within the
// prompt, one at a time behind it.
std::uint32_t exact_bite(std::uint32_t n_past, std::uint32_t prompt, std::uint32_t chunk);

// Seconds that a request may run before it gives way to one that waits, given what it costs to
// move its keys and values out and in again, and to bring back the weights that give way with it.
double quantum_s(double least_s, double swap_s, double reload_s);

}  // namespace lmx
