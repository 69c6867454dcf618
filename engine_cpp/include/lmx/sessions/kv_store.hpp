// Saved sequences: the keys and values of conversations that are in no slot of a device, in host
// memory and in files, found by the tokens that they begin with.
//
// Knows nothing of llama.cpp: a saved sequence is a label and bytes. All members are thread-safe.
// Files are written by a thread of the store's own; until a file is durable the copy in memory
// stays. Nothing here throws for a full disk, a damaged file or lack of memory: a sequence is then
// not kept, is counted, and the caller prefills again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lmx/memory/shared_ledger.hpp"
#include "lmx/sessions/host_buffers.hpp"
#include "lmx/sessions/sequence_label.hpp"

namespace lmx {

enum class Where { ram, disk };  // ram: in memory (it may be on disk as well)

const char* where_name(Where where);

// How much losing it would cost per byte: seconds to prefill again / (1 + idle seconds) / bytes.
double worth_per_byte(double cost_s, double idle_s, Bytes bytes);

enum class NoRoom {
  too_large,   // larger than all the memory there is for it
  worth_less,  // what is kept is worth more
  writing,     // room comes as soon as files are written: ask again after `changed`
};

// A buffer to fill, or why there is none.
struct Room {
  std::optional<HostBuffer> buffer;
  NoRoom why = NoRoom::too_large;

  explicit operator bool() const { return buffer.has_value(); }
};

struct RoomQuery {
  Bytes bytes = 0;
  double cost_s = 0;  // of what is to be kept, as in SequenceLabel
  double idle_s = 0;
  // Do not wait for files to be written: drop what is worth less.
  bool now = false;
};

using SavedId = std::uint64_t;

struct PrefixQuery {
  std::string_view fingerprint;
  std::string_view session;  // preferred among equals
  std::span<const std::int32_t> tokens;
  bool whole =
      false;  // only sequences that are a prefix as a whole (memory that cannot be trimmed)
  bool exact = false;  // count only tokens below exact_until
};

struct Match {
  SavedId id = 0;
  std::uint32_t usable = 0;  // leading tokens of the query that need no prefill; never 0
  std::uint32_t common = 0;  // leading tokens that are equal
  std::uint32_t total = 0;   // tokens of the saved sequence
  Bytes bytes = 0;
  Where where = Where::ram;
  bool own = false;  // of the query's session
};

// Borrowed from the store, or taken; the bytes live as long as anybody holds them.
struct SavedSequence {
  std::shared_ptr<const SequenceLabel> label;
  std::shared_ptr<const HostBuffer> bytes;
};

struct KvStoreOptions {
  std::filesystem::path spill_dir;       // empty: no files
  Bytes spill_bytes = 0;                 // limit of all files of this engine
  Bytes min_disk_free = Bytes{1} << 30;  // left to others on that file system
  double spill_after_s = 10;          // named sessions are written once they were idle for so long
  double max_age_s = 30.0 * 86400;    // files unused for longer are removed at start
  Bytes max_idle = Bytes{512} << 20;  // of empty buffers that wait for reuse
  HostAllocator allocator = page_allocator();
  std::function<void()> changed;                 // a file was written or read; any thread
  std::function<void(const std::string&)> warn;  // one line for the log; any thread
  std::function<double()> now;                   // seconds; the system's clock by default
};

// Of sequences: why they are no longer kept.
struct Losses {
  std::uint64_t ram_full = 0;   // dropped without a file, for what is worth more
  std::uint64_t disk_full = 0;  // its file removed, for what is worth more, with no copy in memory
  std::uint64_t too_old = 0;
  std::uint64_t superseded = 0;  // a later state of the same session took its place
  std::uint64_t forgotten = 0;
  std::uint64_t damaged = 0;  // torn, bits flipped
  std::uint64_t foreign = 0;  // not a file of this version of lmx
};

struct KvStoreCounters {
  std::uint64_t kept = 0;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t taken = 0;
  std::uint64_t refused = 0;  // no room
  std::uint64_t spills = 0;
  std::uint64_t spill_failures = 0;  // disk full, read-only, ...
  std::uint64_t restores = 0;
  Bytes spilled_bytes = 0;
  Bytes restored_bytes = 0;
  double spill_s = 0;
  double restore_s = 0;
  Losses lost;
};

struct SavedView {
  SavedId id = 0;
  std::string session;
  std::string fingerprint;
  std::uint32_t tokens = 0;
  Bytes bytes = 0;
  Where where = Where::ram;
  bool on_disk = false;
  double idle_s = 0;
  double cost_s = 0;
};

struct KvStoreView {
  Bytes ram_bytes = 0;   // of sequences
  Bytes idle_bytes = 0;  // of empty buffers
  Bytes disk_bytes = 0;
  Bytes disk_limit = 0;
  std::uint32_t writing = 0;  // queued for a file or being written
  bool disk_usable = false;
  KvStoreCounters counters;
  std::vector<SavedView> sequences;
};

class KvStore {
 public:
  // With a spill directory, finds what is there by reading headers only, and takes over what
  // engines left that are no longer alive.
  KvStore(std::shared_ptr<SharedLedger> host, KvStoreOptions options);
  // Finishes the file being written, not those that wait: see spill_all().
  ~KvStore();
  KvStore(const KvStore&) = delete;
  KvStore& operator=(const KvStore&) = delete;

  // A buffer to copy a sequence into. Makes room: copies that are on disk as well go first, then
  // what is worth less. Never waits.
  Room room(const RoomQuery& query);

  // Keeps it under its label. An older state of the same session goes; so does an anonymous
  // sequence that is a prefix of this one. 0 when there is no room even for its label.
  SavedId keep(SequenceLabel label, HostBuffer bytes);

  // The best prefix, or nothing. Neither reads files nor copies.
  std::optional<Match> find(const PrefixQuery& query);

  // Starts to read it from disk into memory, and calls `changed` when it is there (or was lost).
  void prefetch(SavedId id);

  // Borrows it; the store keeps it. Reads the file, on this thread, when it is in no memory.
  // Nothing when it is gone, damaged, or there is no memory for it.
  std::optional<SavedSequence> read(SavedId id);

  // The same, and the store drops its copy in memory. A file stays, so that a crash loses no more
  // than what came since, until a later state of the session is written.
  std::optional<SavedSequence> take(SavedId id);

  // Drops all that is kept of the session, files included; how many sequences.
  std::size_t forget(const std::string& session);

  // Drops copies in memory, the least worth first, until the ledger has this much free. False when
  // that cannot be had; copies without a file are dropped if `now` (or without a disk), else
  // written.
  bool make_room(Bytes bytes, bool now);

  // Writes all that is in memory only, the most worth first, and waits for it, at most `seconds`.
  // How many sequences are on disk then.
  std::size_t spill_all(double seconds);

  KvStoreView view() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lmx
