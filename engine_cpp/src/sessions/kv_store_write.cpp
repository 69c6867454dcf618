// Files of the store: written by a thread of its own, one at a time.
#include <algorithm>
#include <chrono>

#include "sessions/kv_store_state.hpp"

namespace lmx {

namespace {

constexpr double kRetryAfterS = 60;  // a disk that failed
constexpr auto kShortest = std::chrono::milliseconds(100);

using Clock = std::chrono::steady_clock;

double since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

}  // namespace

// The files that have to go for this one, or nothing when what there is is worth more.
std::optional<std::vector<Entry*>> KvStore::State::disk_victims_locked(const Entry& entry,
                                                                       Bytes bytes) {
  std::vector<Entry*> victims;
  Bytes free = sub_floor(options.spill_bytes, disk_bytes);
  if (free >= bytes) return victims;
  if (bytes > options.spill_bytes) return std::nullopt;
  const double at = now();
  const auto stale = [&](const Entry& other) { return older_state(other, entry); };
  std::vector<Entry*> candidates = by_worth_locked([&](const Entry& other) {
    return other.file && !other.loading && other.id != entry.id &&
           (stale(other) || worth(other, at) < worth(entry, at));
  });
  std::stable_partition(candidates.begin(), candidates.end(),
                        [&](const Entry* other) { return stale(*other); });
  for (Entry* other : candidates) {
    victims.push_back(other);
    free += other->file->header.file_bytes();
    if (free >= bytes) return victims;
  }
  return std::nullopt;
}

bool KvStore::State::may_write_locked(const Entry& entry) {
  return disk_victims_locked(entry, file_bytes(*entry.label, entry.bytes)).has_value();
}

bool KvStore::State::claim_disk_locked(const Entry& entry, Bytes bytes, Buffers& dropped) {
  const auto victims = disk_victims_locked(entry, bytes);
  if (!victims) return false;
  for (Entry* victim : *victims) {
    if (victim->ram) {
      drop_file_locked(*victim);
    } else {
      erase_locked(victim->id, counters.lost.disk_full, dropped);
    }
  }
  disk_bytes += bytes;
  return true;
}

void KvStore::State::drop_file_locked(Entry& entry) {
  if (!entry.file) return;
  disk_bytes = sub_floor(disk_bytes, entry.file->header.file_bytes());
  graveyard.push_back(std::move(entry.file->path));
  entry.file.reset();
}

void KvStore::State::queue_locked(Entry& entry) {
  if (entry.queued || entry.writing || !entry.dirty()) return;
  entry.queued = true;
  to_write.push_back(entry.id);
  changed.notify_all();
}

// Removes the files of what is gone, without the lock.
void KvStore::State::bury(std::unique_lock<std::mutex>& lock) {
  const std::vector<std::filesystem::path> files = std::exchange(graveyard, {});
  if (files.empty()) return;
  lock.unlock();
  std::error_code ignored;
  for (const std::filesystem::path& file : files) std::filesystem::remove(file, ignored);
  lock.lock();
}

// Queues named sessions that have been idle for a while, so that a crash does not lose them; the
// seconds until the next one is due.
std::optional<double> KvStore::State::queue_idle_locked() {
  std::optional<double> next;
  const double at = now();
  for (auto& [id, entry] : entries) {
    if (!entry.dirty() || entry.queued || entry.writing || entry.label->session.empty()) continue;
    const double due = std::max(options.spill_after_s - idle_s(entry, at), disk_retry_at - at);
    if (due <= 0 && may_write_locked(entry)) {
      queue_locked(entry);
    } else if (due > 0) {
      next = std::min(next.value_or(due), due);
    }
  }
  return next;
}

void KvStore::State::write_forever() {
  std::unique_lock lock(mutex);
  while (!closing) {
    bury(lock);
    const std::optional<double> due = queue_idle_locked();
    if (!to_write.empty()) {
      write_next(lock);
    } else if (closing || !graveyard.empty()) {
      continue;
    } else if (due) {
      changed.wait_for(lock, std::max<std::chrono::duration<double>>(
                                 kShortest, std::chrono::duration<double>(*due)));
    } else {
      changed.wait(lock);
    }
  }
  bury(lock);
}

void KvStore::State::write_next(std::unique_lock<std::mutex>& lock) {
  const SavedId id = to_write.front();
  to_write.pop_front();
  Entry* entry = entry_locked(id);
  if (entry == nullptr) return;
  entry->queued = false;
  const Bytes bytes = file_bytes(*entry->label, entry->bytes);
  SavedSequence saved{entry->label, entry->ram};
  Buffers dropped;
  if (!entry->dirty() || !claim_disk_locked(*entry, bytes, dropped)) {
    saved = {};
    changed.notify_all();
    return;
  }
  entry->writing = true;
  const double last_used = entry->last_used;
  bury(lock);
  lock.unlock();

  dropped.clear();
  const std::filesystem::path path = folder->new_file();
  const auto began = Clock::now();
  std::optional<std::string> failure;
  if (folder->disk_free() < add_saturating(bytes, options.min_disk_free)) {
    failure = "the disk is nearly full";
  } else {
    failure = write_sequence(path, *saved.label, last_used, saved.bytes->view());
  }
  const double seconds = since(began);
  std::optional<FileHeader> header;
  if (!failure) header = read_header(path).header;
  saved = {};
  if (failure && !std::exchange(warned, true))
    warn("a session is not kept on disk: " + options.spill_dir.string() + ": " + *failure);

  lock.lock();
  if (header) {
    written_locked(id, without_label(path, std::move(*header)), seconds, dropped);
  } else {
    write_failed_locked(id, bytes, dropped);
  }
  changed.notify_all();
  lock.unlock();
  dropped.clear();
  tell();
  lock.lock();
}

void KvStore::State::written_locked(SavedId id, SavedFile file, double seconds, Buffers& dropped) {
  counters.spills += 1;
  counters.spilled_bytes += file.header.payload_bytes;
  counters.spill_s += seconds;
  warned = false;
  Entry* entry = entry_locked(id);
  if (entry == nullptr) {  // forgotten or superseded meanwhile
    disk_bytes = sub_floor(disk_bytes, file.header.file_bytes());
    graveyard.push_back(std::move(file.path));
    return;
  }
  entry->writing = false;
  entry->file = std::move(file);
  supersede_locked(*entry, dropped);
  const bool outdated = std::ranges::any_of(entries, [&](const auto& other) {
    return other.second.file && older_state(*entry, other.second);
  });
  if (outdated) erase_locked(id, counters.lost.superseded, dropped);
}

void KvStore::State::write_failed_locked(SavedId id, Bytes bytes, Buffers& dropped) {
  counters.spill_failures += 1;
  disk_bytes = sub_floor(disk_bytes, bytes);
  disk_retry_at = now() + kRetryAfterS;
  for (SavedId other : std::exchange(to_write, {})) {
    if (Entry* entry = entry_locked(other)) entry->queued = false;
  }
  Entry* entry = entry_locked(id);
  if (entry == nullptr) return;
  entry->writing = false;
  std::uint64_t taken = 0;
  if (!entry->ram) erase_locked(id, taken, dropped);
}

std::size_t KvStore::spill_all(double seconds) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  if (state.folder) {
    state.disk_retry_at = 0;
    for (SavedId id : std::exchange(state.to_write, {})) {
      if (Entry* entry = state.entry_locked(id)) entry->queued = false;
    }
    std::vector<Entry*> all =
        state.by_worth_locked([](const Entry& entry) { return entry.dirty(); });
    std::ranges::reverse(all);
    for (Entry* entry : all) state.queue_locked(*entry);
    state.changed.wait_for(lock, std::chrono::duration<double>(seconds), [&] {
      return std::ranges::none_of(state.entries, [](const auto& each) {
        return each.second.queued || each.second.writing;
      });
    });
  }
  return static_cast<std::size_t>(std::ranges::count_if(
      state.entries, [](const auto& each) { return each.second.file.has_value(); }));
}

}  // namespace lmx
