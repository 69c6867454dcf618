// Files of the store: found at the start, read by the caller or by a thread of the store's own.
#include <algorithm>
#include <chrono>

#include "sessions/kv_store_state.hpp"

namespace lmx {

namespace {

constexpr double kPatienceS = 2;  // of a read that needs the memory of what is being written
constexpr auto kShortest = std::chrono::milliseconds(100);

using Clock = std::chrono::steady_clock;

double since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

}  // namespace

SavedFile without_label(std::filesystem::path path, FileHeader header) {
  header.label = {};
  return {std::move(path), std::move(header)};
}

void KvStore::State::open_folder() {
  std::string failure;
  folder = SpillFolder::open(options.spill_dir, failure);
  if (!folder) {
    warn("sessions are not kept on disk: " + options.spill_dir.string() + ": " + failure);
    counters.spill_failures += 1;
    warned = true;
    return;
  }
  std::vector<SavedFile> found;
  for (const std::filesystem::path& path : folder->files()) {
    HeaderOrFault read = read_header(path);
    const bool foreign = !read.header && read.fault == FileFault::foreign;
    const bool old = read.header && now() - read.header->last_used > options.max_age_s;
    if (!read.header && read.fault == FileFault::unreadable) continue;
    if (read.header && !old) {
      found.push_back({path, std::move(*read.header)});
      continue;
    }
    (old ? counters.lost.too_old : foreign ? counters.lost.foreign : counters.lost.damaged) += 1;
    graveyard.push_back(path);
  }
  std::ranges::stable_sort(found, {}, [](const SavedFile& file) { return file.header.last_used; });
  for (SavedFile& file : found) adopt(std::move(file));
}

// A file from before. They come oldest first.
void KvStore::State::adopt(SavedFile file) {
  Buffers none;
  if (!book_index(file.header.label)) {
    counters.lost.ram_full += 1;
    graveyard.push_back(file.path);
    return;
  }
  disk_bytes += file.header.file_bytes();
  Entry& entry =
      add_locked(std::move(file.header.label), file.header.payload_bytes, file.header.last_used);
  entry.file = without_label(std::move(file.path), std::move(file.header));
  supersede_locked(entry, none);
  while (disk_bytes > options.spill_bytes) {
    const auto all = by_worth_locked([](const Entry&) { return true; });
    erase_locked(all.front()->id, counters.lost.disk_full, none);
  }
}

void KvStore::State::read_forever() {
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait(lock, [&] { return closing || !to_read.empty(); });
    if (closing) return;
    const SavedId id = to_read.front();
    to_read.pop_front();
    lock.unlock();
    borrow(id, false, true);
    tell();
    lock.lock();
  }
}

// Reads the file of an entry that is in no memory. The lock is given up meanwhile.
std::optional<SavedSequence> KvStore::State::load(SavedId id, bool patient,
                                                  std::unique_lock<std::mutex>& lock) {
  Entry* entry = entry_locked(id);
  if (!entry->file) return std::nullopt;
  entry->loading = true;
  const SavedFile file = *entry->file;
  RoomQuery query{.bytes = entry->bytes, .cost_s = entry->label->cost_s, .now = !patient};
  lock.unlock();

  NoRoom why = NoRoom::too_large;
  std::optional<HostBuffer> buffer = this->buffer(query, why);
  const auto began = Clock::now();
  while (!buffer && why == NoRoom::writing && patient && since(began) < kPatienceS) {
    lock.lock();
    changed.wait_for(lock, kShortest);
    query.now = closing || since(began) + 0.1 > kPatienceS;
    lock.unlock();
    buffer = this->buffer(query, why);
  }
  const auto reading = Clock::now();
  std::optional<FileFault> fault;
  if (buffer) fault = read_payload(file.path, file.header, buffer->view());
  const double seconds = since(reading);

  lock.lock();
  changed.notify_all();
  entry = entry_locked(id);
  if (entry == nullptr) return std::nullopt;
  entry->loading = false;
  if (!buffer) return std::nullopt;
  if (fault) {
    Buffers none;
    erase_locked(id, counters.lost.damaged, none);
    return std::nullopt;
  }
  counters.restores += 1;
  counters.restored_bytes += entry->bytes;
  counters.restore_s += seconds;
  entry->last_used = now();
  entry->ram = std::make_shared<const HostBuffer>(std::move(*buffer));
  return SavedSequence{entry->label, entry->ram};
}

}  // namespace lmx
