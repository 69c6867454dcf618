// The inside of the store, shared by its sources: what is kept, in memory and in files.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "lmx/sessions/kv_store.hpp"
#include "lmx/sessions/prefix.hpp"
#include "lmx/sessions/sequence_file.hpp"
#include "lmx/sessions/spill_folder.hpp"

namespace lmx {

struct SavedFile {
  std::filesystem::path path;
  FileHeader header;  // its label is empty: the entry has it
};

SavedFile without_label(std::filesystem::path path, FileHeader header);

// One sequence. It is in memory, in a file or in both.
struct Entry {
  SavedId id = 0;
  std::shared_ptr<const SequenceLabel> label;
  std::vector<std::uint64_t> hashes;  // of the tokens, in blocks
  Bytes bytes = 0;
  double last_used = 0;
  std::shared_ptr<const HostBuffer> ram;
  std::optional<SavedFile> file;
  bool queued = false;   // for being written
  bool writing = false;  // a thread writes it, without the lock
  bool loading = false;  // a thread reads it, without the lock

  bool clean() const { return ram && file; }
  bool dirty() const { return ram && !file; }
  bool busy() const { return writing || loading; }
  bool borrowed() const { return ram.use_count() > 1; }
};

using Buffers = std::vector<std::shared_ptr<const HostBuffer>>;

// Whether `old` is an earlier state of the session of `newer`.
bool older_state(const Entry& old, const Entry& newer);

// Members named *_locked expect the mutex to be held; what they drop goes to `dropped`, to be freed
// without it.
struct KvStore::State {
  State(std::shared_ptr<SharedLedger> ledger, KvStoreOptions given);
  ~State();

  double now() const { return options.now(); }
  double idle_s(const Entry& entry, double at) const { return std::max(0.0, at - entry.last_used); }
  double worth(const Entry& entry, double at) const {
    return worth_per_byte(entry.label->cost_s, idle_s(entry, at), entry.bytes);
  }

  // kv_store.cpp
  Entry* entry_locked(SavedId id);
  // Books an entry of the index and its label; false when there is no room for it.
  bool book_index(const SequenceLabel& label);
  Entry& add_locked(SequenceLabel label, Bytes bytes, double last_used);
  void erase_locked(SavedId id, std::uint64_t& reason, Buffers& dropped);
  void supersede_locked(const Entry& newer, Buffers& dropped);
  std::optional<SavedSequence> borrow(SavedId id, bool take, bool patient);

  // kv_store_room.cpp
  std::optional<HostBuffer> buffer(const RoomQuery& query, NoRoom& why);
  bool make_room(Bytes bytes, bool patient);
  std::optional<NoRoom> drop_locked(const RoomQuery& query, Bytes shortage, Buffers& dropped);
  std::vector<Entry*> by_worth_locked(const std::function<bool(const Entry&)>& which);
  void write_ahead_locked();

  // kv_store_write.cpp
  bool disk_usable_locked() const { return folder && now() >= disk_retry_at; }
  bool may_write_locked(const Entry& entry);
  std::optional<std::vector<Entry*>> disk_victims_locked(const Entry& entry, Bytes bytes);
  bool claim_disk_locked(const Entry& entry, Bytes bytes, Buffers& dropped);
  void drop_file_locked(Entry& entry);
  void queue_locked(Entry& entry);
  std::optional<double> queue_idle_locked();
  void bury(std::unique_lock<std::mutex>& lock);
  void write_forever();
  void write_next(std::unique_lock<std::mutex>& lock);
  void written_locked(SavedId id, SavedFile file, double seconds, Buffers& dropped);
  void write_failed_locked(SavedId id, Bytes bytes, Buffers& dropped);

  // kv_store_read.cpp
  void open_folder();
  void adopt(SavedFile file);
  void read_forever();
  std::optional<SavedSequence> load(SavedId id, bool patient, std::unique_lock<std::mutex>& lock);

  void warn(const std::string& line) const {
    if (options.warn) options.warn(line);
  }
  void tell() const {
    if (options.changed) options.changed();
  }

  KvStoreOptions options;
  std::shared_ptr<SharedLedger> host;
  HostPool pool;
  std::optional<SpillFolder> folder;

  mutable std::mutex mutex;
  std::condition_variable changed;  // of entries, queues and `closing`
  std::map<SavedId, Entry> entries;
  SavedId last_id = 0;
  std::deque<SavedId> to_write;
  std::deque<SavedId> to_read;
  std::vector<std::filesystem::path> graveyard;  // files to remove
  Bytes disk_bytes = 0;                          // of files, and of the one being written
  double disk_retry_at = 0;                      // after a failure
  bool warned = false;                           // of the disk; the writer's once it runs
  bool closing = false;
  KvStoreCounters counters;

  std::thread writer;
  std::thread reader;
};

}  // namespace lmx
