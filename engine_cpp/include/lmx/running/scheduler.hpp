// The scheduler: one thread that owns the device. It admits waiting requests as the planner says,
// evicts, loads, and decodes for all running contexts in turn.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "lmx/llama/models.hpp"
#include "lmx/memory/estimator.hpp"
#include "lmx/memory/foreign.hpp"
#include "lmx/memory/ledger.hpp"
#include "lmx/memory/planner.hpp"
#include "lmx/running/context.hpp"
#include "lmx/running/fairness.hpp"
#include "lmx/running/recent.hpp"
#include "lmx/running/request.hpp"
#include "lmx/running/sessions.hpp"
#include "lmx/running/snapshot.hpp"
#include "lmx/streaming/stream_policy.hpp"

namespace lmx {

struct SchedulerOptions {
  Device device;
  Bytes cap = 0;
  std::int32_t threads = 1;
  std::uint32_t max_slots = 8;  // sequences of one context
  double patience_s = 1.0;      // wait after which later requests may not overtake
  double quantum_s = 2.0;       // that a request runs at least before it gives way
  Bytes host_bytes = 0;         // of host memory, for sequences that are in no slot
  std::filesystem::path spill_dir;
  Bytes spill_bytes = 0;
  StreamPolicy streaming;
  CopyOptions copies;
};

// A request that has no slot: new, or suspended in the middle of its generation.
struct Waiting {
  std::shared_ptr<Request> request;
  std::unique_ptr<Generation> generation;  // null while nothing was generated
  Clock::time_point since;
  std::optional<SavedId> saved;        // its keys and values, if it is suspended
  bool looked_up = false;              // whether it can go on from a file
  Clock::time_point fetching_until{};  // the file is being read; start without it from then on

  const RequestSpec& spec() const { return request->spec(); }
};

enum class HoldMode { now, wait, fact };

// What is booked now, and what the planner says of those who wait, all of the same moment.
struct Projection {
  std::vector<Claim> ledger;
  std::vector<Decision> queued;
  std::vector<Decision> asked;
};

// Wakes a sleeping thread; a raise that comes first is not lost.
class Signal {
 public:
  void raise();
  void wait_until(std::optional<Clock::time_point> deadline);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool raised_ = false;
};

class Scheduler {
 public:
  Scheduler(SchedulerOptions options, std::shared_ptr<Estimator> estimator);
  ~Scheduler();

  // Queues the request; returns at once. Throws Cancelled when closed.
  std::shared_ptr<Request> submit(RequestSpec spec);

  // The planner's answer for these jobs, behind the requests that are already queued.
  Projection project(const std::vector<Job>& jobs);

  // The name under which the file's weights are booked: its path, numbered when it was replaced.
  std::string model_id(const FileIdentity& file);
  static std::string context_key(const ContextSpec& spec);

  void pin(const std::string& path, bool pinned);

  // Books bytes for something outside of this engine: now or not at all; or when its turn comes,
  // evicting what is idle (a denial then means never); or as a fact that the ledger must follow.
  std::optional<Denial> hold(const std::string& holder, Bytes bytes, HoldMode mode);
  Bytes release(const std::string& holder);

  // What a look at the processes of the device found.
  void see(Sighting sighting);

  Snapshot snapshot();
  Bytes cap() const { return options_.cap; }
  Bytes free();
  void forget(const std::string& session);

  // Of the host's memory: what whoever keeps something there has to book first.
  const std::shared_ptr<SharedLedger>& host() const { return host_; }

  // Ends everything with Cancelled and joins the thread. Idempotent.
  void close();

 private:
  using Lock = std::unique_lock<std::mutex>;
  using Contexts = std::list<std::unique_ptr<Context>>;

  void run();
  bool anything_runnable() const;
  std::vector<Share> shares() const;
  void refuse_ended_requests();
  std::optional<Clock::time_point> next_wake() const;
  void step_next(Lock& lock);
  std::optional<Clock::time_point> end_of_burst() const;
  void drop_failed(Context& context);
  void fail_everything(Lock& lock);
  KvStoreOptions store_options();

  // A hold that waits for its bytes.
  struct WantedHold {
    std::string holder;
    Bytes bytes = 0;
    Clock::time_point since;
  };

  void refresh_foreign();
  void admit(Lock& lock);
  bool carry_out(std::vector<Decision> decisions, Lock& lock);
  bool anybody_waits() const { return !queue_.empty() || !wanted_holds_.empty(); }
  bool grant(const Decision& decision, Lock& lock);
  void start(Waiting waiting, const Decision& decision, Lock& lock);

  // A context of so many sequences, and how its model is to be loaded, if it is not there.
  struct Build {
    std::uint32_t n_seq = 1;
    Footprint needs;
    std::optional<StreamPlan> plan;
    std::uint32_t n_batch = 0;  // see ContextOptions
  };

  // A context in the making, and weights where they are not there yet. Until it is `done` it
  // belongs to the thread that constructs it.
  struct Loading {
    Loading(std::string name, Waiting who, Build what)
        : id(std::move(name)), waiting(std::move(who)), build(std::move(what)) {}
    const std::string id;
    Waiting waiting;
    const Build build;
    bool reused = false;  // the weights were there
    std::shared_ptr<ResidentModel> model;
    std::unique_ptr<Context> context;
    std::exception_ptr error;
    std::atomic<bool> done = false;
    std::thread thread;
  };

  void place(Waiting waiting, Context& context, Lock& lock);
  bool time_to_look();
  bool may_be_suspended(const Context& context, const Slot& slot, double reload_s) const;
  std::vector<Resident> residents_but_preemptible() const;
  bool make_way(Lock& lock);
  bool suspend_for(const Decision& decision, const Job& job, Lock& lock);
  std::uint32_t longest_running(const Context& context) const;
  void suspend(Context& context, std::uint32_t slot, const std::string& reason, Lock& lock);
  void fetch_for_new();
  void fetched();
  void note_moves();
  void forget_parked();
  void save_sessions(Lock& lock);
  void build(Waiting waiting, const Decision& decision, Lock& lock);
  void queue_again(Waiting waiting);
  bool reserve(const RequestSpec& spec, const std::string& context, const Build& build);
  void construct(Loading& loading);
  void finish_loading(Lock& lock);
  void finish(std::unique_ptr<Loading> loading, Lock& lock);
  void abandon_loading(Lock& lock);
  bool reserve_and_build(Waiting& waiting, const Build& build);
  std::uint32_t waiting_for_same_context(const RequestSpec& spec) const;
  Footprint needs_of(const RequestSpec& spec, std::uint32_t n_seq, std::uint32_t n_batch = 0) const;
  std::vector<Build> whole_builds(const RequestSpec& spec, std::uint32_t waiting, Bytes free) const;
  static std::uint32_t widest_batch(const RequestSpec& spec);
  std::vector<Build> streamed_builds(const RequestSpec& spec, std::uint32_t waiting, Bytes free);
  Context* open_context(const Waiting& waiting);
  void true_up(Context& context);
  bool evict(const Decision& decision, const std::string& for_what, Lock& lock);
  bool let_go(const std::string& id, const std::string& reason, Lock& lock);
  std::vector<Context*> contexts_of(const ResidentModel& model) const;
  bool worth_reloading(ResidentModel& model, Clock::time_point now);
  bool bring_layers_back(Lock& lock);
  void account(Context& context, const Step& step);
  void account_streaming(ResidentModel& model);

  std::vector<Resident> residents() const;
  std::vector<Job> queued_jobs() const;
  std::vector<HoldView> holds() const;
  Capacity capacity() const;
  void note(std::string kind, std::string subject, Bytes bytes, std::string reason);

  const SchedulerOptions options_;
  const std::shared_ptr<Estimator> estimator_;
  const Clock::time_point began_ = Clock::now();
  const std::shared_ptr<Signal> signal_ = std::make_shared<Signal>();
  std::atomic<bool> closing_ = false;
  std::atomic<bool> files_changed_ = false;
  const std::shared_ptr<SharedLedger> host_;
  Sessions sessions_;

  // Guarded by mutex_. Contexts and models are changed only by the scheduler's thread, which
  // therefore reads them without it; it is never held during a load or a decode.
  std::mutex mutex_;
  std::list<Waiting> queue_;
  std::list<std::shared_ptr<Request>> live_;  // queued or running
  std::list<WantedHold> wanted_holds_;
  std::vector<std::string> to_forget_;
  Ledger ledger_;
  ForeignMemory foreign_;
  ModelStore models_;
  Contexts contexts_;
  std::map<const Context*, double> used_s_;  // of the device's time, by context
  std::map<FileIdentity, std::string> model_ids_;
  std::deque<Event> events_;
  Totals totals_;
  RecentWork recent_;
  std::optional<Clock::time_point> stepped_at_;  // end of the last decode, if one follows it
  std::unique_ptr<Loading> loading_;             // weights that are on their way; one at a time
  std::uint64_t contexts_made_ = 0;
  Clock::time_point next_look_{};
  Clock::time_point burst_began_{};  // requests that follow each other closely; see end_of_burst()
  Clock::time_point last_came_{};
  Clock::time_point next_layer_look_{};
  bool changed_ = false;  // something that may let a waiting request start
  bool closed_ = false;

  std::mutex close_mutex_;
  std::thread thread_;
};

}  // namespace lmx
