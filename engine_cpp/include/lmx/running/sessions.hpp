// Moves keys and values between the slots of contexts and the store of saved sequences: what a
// request can go on from is brought into its slot, what has to leave a slot is kept.
//
// Belongs to the scheduler's thread; to be called without its lock, for copying takes time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lmx/running/context.hpp"
#include "lmx/running/snapshot.hpp"
#include "lmx/sessions/kv_store.hpp"

namespace lmx {

// One that has to be told.
struct Move {
  std::string kind;  // "swap_out", "swap_in", "copy", "drop"
  std::string subject;
  Bytes bytes = 0;
  double seconds = 0;
  std::string reason;
};

class Sessions {
 public:
  Sessions(std::shared_ptr<SharedLedger> host, KvStoreOptions options, std::string device,
           std::int32_t threads);

  // A slot that is not running, and how many of the generation's tokens it now holds. `mine` is
  // what suspend() saved of it. There must be a free slot.
  struct Seat {
    std::uint32_t slot = 0;
    std::uint32_t keep = 0;
  };
  Seat seat(Context& context, const Generation& generation, std::optional<SavedId> mine);

  // Takes the generation out of its slot, its sequence into the store.
  struct Suspended {
    std::unique_ptr<Generation> generation;
    std::optional<SavedId> saved;  // nothing: no room, it will be computed again
  };
  Suspended suspend(Context& context, std::uint32_t slot, const std::string& reason);

  // Empties the parked slots of this session, of all sessions that have a name, or all; what is
  // worth it goes to the store.
  void put_away(Context& context, const std::string& session, const std::string& reason);
  void put_away_named(Context& context, const std::string& reason);
  void put_away_all(Context& context, const std::string& reason);

  // Starts to read what the request can go on from, if that is in a file only.
  bool fetch(const RequestSpec& spec);

  // Drops saved sequences until this much host memory is free; false when that cannot be had.
  bool make_room(Bytes bytes) { return store_->make_room(bytes, true); }

  // Writes everything to files, at most for so long.
  void spill(double seconds) { store_->spill_all(seconds); }
  void forget(const std::string& session) { store_->forget(session); }

  // Frees the memory and leaves the files to the next engine. Nothing but views may follow.
  void close();

  // Seconds that moving so many bytes took lately.
  double seconds_for(Bytes bytes) const;

  const SwapTotals& totals() const { return totals_; }
  KvStoreView view() const { return store_ ? store_->view() : last_view_; }
  std::vector<Move> moves();  // since the last call

 private:
  std::string fingerprint(const FileIdentity& file, const ContextSpec& spec) const;
  std::string fingerprint(const Context& context) const;
  std::optional<SavedSequence> best_saved(const Context& context, const Generation& generation,
                                          std::uint32_t at_hand, std::uint32_t& usable);
  std::optional<SavedId> save(Context& context, std::uint32_t slot, const std::string& reason);
  void put_away(Context& context, std::uint32_t slot, const std::string& reason);
  bool restore(Context& context, std::uint32_t slot, const SequenceLabel& label,
               const HostBuffer& bytes);
  bool copy(Context& context, std::uint32_t from, std::uint32_t to);
  void tell(std::string kind, const Context& context, const std::string& session, Bytes bytes,
            double seconds, std::string reason);

  std::unique_ptr<KvStore> store_;
  KvStoreView last_view_;
  const std::string device_;
  const std::int32_t threads_;
  SwapTotals totals_;
  std::vector<Move> moves_;
};

}  // namespace lmx
