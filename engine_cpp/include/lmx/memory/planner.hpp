// The planner: which waiting jobs may start, in which order, and what must be evicted for them.
//
// A pure function of its arguments, so that the scheduler, a queue worker and a command line all
// get the same answer. It never evicts what is running or pinned.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "lmx/base/bytes.hpp"

namespace lmx {

// Something that occupies the device: weights, or a context built upon them.
struct Resident {
  std::string id;
  std::vector<std::string> upon;  // for a context the ids of its weights; empty for weights
  std::string serves;             // for a context the key that jobs ask for (see Job::context)
  Bytes bytes = 0;                // without the bytes of its dependants
  Bytes host_bytes = 0;           // in host memory besides: the layers that are streamed from there
  bool running = false;
  bool pinned = false;
  double idle_s = 0;    // seconds since it was last used
  double reload_s = 0;  // seconds that bringing it back would take
  std::uint32_t free_slots = 0;
};

// Weights that must be on the device for a job: its model's, or those of a draft model, a projector
// or an adapter that it uses besides.
struct NeededWeights {
  std::string id;
  Bytes bytes = 0;  // were they not resident
};

// How a model's layers can be streamed through a few slots on the device instead of all residing
// there. At least one layer is streamed.
struct StreamNeeds {
  Bytes fixed_bytes = 0;           // what always resides: embeddings, output, norms
  std::vector<Bytes> layer_bytes;  // each layer's, in the order in which layers become resident
  Bytes slot_bytes = 0;            // room for the largest layer
  Bytes host_bytes = 0;            // what streaming takes of host memory
  std::uint32_t slots = 2;         // never more than there are streamed layers
  std::uint32_t min_layers = 0;    // resident; with fewer the job rather waits
  std::uint32_t max_layers = std::numeric_limits<std::uint32_t>::max();  // resident
  bool forced = false;  // stream although the whole model would fit
};

struct Job {
  std::string id;
  std::vector<NeededWeights> weights;  // the model under its context comes first
  std::string context;                 // key of the context it needs
  Bytes context_bytes = 0;             // KV cache and compute buffers of a context of its own
  bool aged = false;                   // has waited long: later jobs may no longer overtake it
  std::optional<StreamNeeds> stream = std::nullopt;  // of the first weights, where possible
};

struct Capacity {
  Bytes cap = 0;
  Bytes used = 0;  // everything booked, the residents included
  Bytes host_cap = 0;
  Bytes host_used = 0;  // what cannot be given up for a streamed model, the residents' included
};

// `streamed`: starts with only some layers resident, perhaps after evictions.
enum class Verdict { now, after_eviction, streamed, wait, never };

const char* verdict_name(Verdict verdict);

constexpr bool starts(Verdict verdict) {
  return verdict != Verdict::wait && verdict != Verdict::never;
}

struct Decision {
  std::string job;
  Verdict verdict = Verdict::wait;
  std::size_t turn = 0;            // its place in the order in which jobs start
  std::vector<std::string> evict;  // in this order: contexts before the weights under them
  Bytes needs = 0;                 // in all, with nothing shared or streamed
  Bytes missing = 0;               // still to be reserved
  Bytes cap = 0;
  Bytes free = 0;                     // when its turn came, before any eviction
  std::uint32_t resident_layers = 0;  // of a streamed job
  std::uint32_t slots = 0;            // of a streamed job
};

// One decision for each job, in the order of the jobs, which is the order of their right to start.
//
// Jobs of one model take their turns together with the first of them, so that A B C A B C start as
// A A B B C C; models that are resident come first, unless an aged job waits for another. Each
// decision supposes that the jobs with earlier turns which may start have started. Jobs that wait
// reserve nothing, but an aged job that is only waiting for running work to end makes all jobs
// after it in the list wait.
std::vector<Decision> plan(Capacity capacity, std::vector<Resident> residents,
                           const std::vector<Job>& jobs);

// The same decisions, the first to start first.
std::vector<Decision> in_turn(std::vector<Decision> decisions);

}  // namespace lmx
