// The planner: which waiting jobs may start, and what must be evicted for them.
//
// A pure function of its arguments, so that the scheduler, a queue worker and a command line all
// get the same answer. It never evicts what is running or pinned.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lmx/base/bytes.hpp"

namespace lmx {

// Something that occupies the device: the weights of a model, or a context built upon them.
struct Resident {
  std::string id;
  std::string model;   // for a context the id of its weights, empty for weights
  std::string serves;  // for a context the key that jobs ask for (see Job::context)
  Bytes bytes = 0;     // without the bytes of its dependants
  bool running = false;
  bool pinned = false;
  double idle_s = 0;    // seconds since it was last used
  double reload_s = 0;  // seconds that bringing it back would take
  std::uint32_t free_slots = 0;
};

struct Job {
  std::string id;
  std::string model;        // id of the weights it needs
  std::string context;      // key of the context it needs
  Bytes weights_bytes = 0;  // were they not resident
  Bytes context_bytes = 0;  // KV cache and compute buffers of a context of its own
  bool aged = false;        // has waited long: later jobs may no longer overtake it
};

struct Capacity {
  Bytes cap = 0;
  Bytes used = 0;  // everything booked, the residents included
};

enum class Verdict { now, after_eviction, wait, never };

const char* verdict_name(Verdict verdict);

struct Decision {
  std::string job;
  Verdict verdict = Verdict::wait;
  std::vector<std::string> evict;  // in this order: contexts before the weights under them
  Bytes needs = 0;                 // in all, with nothing shared
  Bytes missing = 0;               // still to be reserved
  Bytes cap = 0;
  Bytes free = 0;  // when its turn came, before any eviction
};

// Takes the jobs in order, each decision on the supposition that the admitted jobs before it have
// started. Jobs that wait reserve nothing, but an aged job that is only waiting for running work
// to end makes all later jobs wait.
std::vector<Decision> plan(Capacity capacity, std::vector<Resident> residents,
                           const std::vector<Job>& jobs);

}  // namespace lmx
