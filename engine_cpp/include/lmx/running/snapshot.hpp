// What an engine is doing, as plain values: for a status page, a log or a test.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lmx/memory/ledger.hpp"
#include "lmx/sessions/kv_store.hpp"

namespace lmx {

// The streaming of a model's layers since it was loaded.
struct StreamView {
  std::uint32_t layers = 0;    // that can be streamed
  std::uint32_t resident = 0;  // of these
  std::uint32_t slots = 0;
  Bytes slot_bytes = 0;    // on the device
  Bytes host_bytes = 0;    // in host memory
  Bytes copied_bytes = 0;  // through the slots
  std::uint64_t passes = 0;
  double copy_s = 0;    // that copies took
  double wait_s = 0;    // that decodes waited for copies
  double decode_s = 0;  // that decodes took, the waiting included
};

struct ModelView {
  std::string id;
  std::string path;
  Bytes bytes = 0;
  long references = 0;
  bool pinned = false;
  double idle_s = 0;
  double load_s = 0;
  std::optional<StreamView> streaming;
};

struct ContextView {
  std::string id;
  std::string model;
  std::uint32_t n_ctx = 0;
  std::uint32_t slots = 0;
  std::uint32_t active = 0;
  std::uint32_t parked = 0;  // slots that keep what an ended request computed
  Bytes kv_bytes = 0;
  Bytes compute_bytes = 0;
  double idle_s = 0;
};

struct RequestView {
  std::uint64_t id = 0;
  std::string model;
  std::string phase;
  double wait_s = 0;
  double age_s = 0;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;
};

// A load, an eviction and the like. `at_s` counts from the start of the engine.
struct Event {
  double at_s = 0;
  std::string kind;
  std::string subject;
  Bytes bytes = 0;
  std::string reason;
};

// Since the engine started, of sequences that were copied.
struct SwapTotals {
  std::uint64_t out = 0;
  std::uint64_t in = 0;
  std::uint64_t copies = 0;   // from one slot into another
  std::uint64_t refused = 0;  // left a slot and were lost: no room on the host
  Bytes out_bytes = 0;
  Bytes in_bytes = 0;
  double out_s = 0;
  double in_s = 0;
};

// Since the engine started. `busy_s` is the time spent in decodes and the choice of tokens,
// `overhead_s` what the scheduler itself took beside that while it was decoding.
struct Totals {
  SwapTotals swaps;
  std::uint64_t cached_tokens = 0;  // of prompts, that needed no prefill
  std::uint64_t suspensions = 0;
  std::uint64_t requests = 0;
  std::uint64_t finished = 0;
  std::uint64_t evictions = 0;
  std::uint64_t evictions_for_holds = 0;   // of these
  std::uint64_t evictions_for_layers = 0;  // of these: to load a streamed model with more of them
  std::uint64_t decodes = 0;
  std::uint64_t decoded_sequences = 0;  // summed over the decodes
  std::uint64_t prefill_tokens = 0;
  std::uint64_t completion_tokens = 0;
  double busy_s = 0;
  double overhead_s = 0;
  Bytes streamed_bytes = 0;
  double stream_copy_s = 0;
};

// Of the last `window_s` seconds (see RecentWork). `batch`: sequences of a decode, on average;
// `busy`: the share of the time spent in decodes. The speeds of swaps and of streaming
// are those of the copies.
struct Rates {
  double window_s = 0;
  double prefill_tokens_per_s = 0;
  double completion_tokens_per_s = 0;
  double decodes_per_s = 0;
  double batch = 0;
  double busy = 0;
  double swap_out_bytes_per_s = 0;
  double swap_in_bytes_per_s = 0;
  double stream_bytes_per_s = 0;
};

// Bytes for something outside of the engine; until they are `granted` they wait as requests do.
struct HoldView {
  std::string holder;
  Bytes bytes = 0;
  bool granted = false;
  double wait_s = 0;
};

// Host memory and files, for what is in no slot of the device.
struct HostView {
  Bytes cap = 0;
  Bytes used = 0;
  std::vector<Claim> ledger;
  KvStoreView saved;
};

struct Snapshot {
  std::string device;
  double uptime_s = 0;
  HostView host;
  std::optional<Bytes> in_use;  // by everybody, as the driver says; none on a CPU
  Bytes cap = 0;
  Bytes used = 0;
  Bytes free = 0;
  std::vector<Claim> ledger;
  std::vector<ModelView> models;
  std::vector<ContextView> contexts;
  std::vector<RequestView> requests;
  std::vector<HoldView> holds;
  std::vector<Event> events;
  Totals totals;
  Rates rates;
};

}  // namespace lmx
