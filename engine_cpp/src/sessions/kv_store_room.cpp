// Room in host memory: who has to go for a sequence that comes.
#include <algorithm>
#include <limits>

#include "sessions/kv_store_state.hpp"

namespace lmx {

namespace {

// The part of the ledger that is kept free, or held only by sequences that have a file, so that
// room can be made without waiting for the disk.
constexpr Bytes kReadyShare = 4;

Bytes capacities(const std::vector<Entry*>& entries) {
  Bytes sum = 0;
  for (const Entry* entry : entries) sum = add_saturating(sum, entry->ram->capacity());
  return sum;
}

}  // namespace

std::vector<Entry*> KvStore::State::by_worth_locked(
    const std::function<bool(const Entry&)>& which) {
  const double at = now();
  std::vector<std::pair<double, Entry*>> ranked;
  for (auto& [id, entry] : entries) {
    if (which(entry)) ranked.emplace_back(worth(entry, at), &entry);
  }
  std::ranges::stable_sort(ranked, {}, &std::pair<double, Entry*>::first);
  std::vector<Entry*> ordered;
  for (const auto& [worth, entry] : ranked) ordered.push_back(entry);
  return ordered;
}

std::optional<HostBuffer> KvStore::State::buffer(const RoomQuery& query, NoRoom& why) {
  const Bytes capacity = HostPool::capacity_for(query.bytes);
  why = NoRoom::too_large;
  for (int fruitless = 0; fruitless < 2;) {
    if (std::optional<HostBuffer> buffer = pool.take(query.bytes)) return buffer;
    const Bytes shortage = sub_floor(capacity, add_saturating(host->free(), pool.idle()));
    if (shortage == 0) fruitless += 1;  // another thread freed some, or the system has no memory
    Buffers dropped;
    const std::lock_guard lock(mutex);
    if (const auto refused = drop_locked(query, shortage, dropped)) {
      why = *refused;
      break;
    }
  }
  return std::nullopt;
}

// Drops copies in memory worth `shortage` bytes, or says why not.
std::optional<NoRoom> KvStore::State::drop_locked(const RoomQuery& query, Bytes shortage,
                                                  Buffers& dropped) {
  Bytes found = 0;
  const auto first_of = [&](const std::vector<Entry*>& ordered) {
    std::vector<Entry*> first;
    for (Entry* entry : ordered) {
      if (found >= shortage) break;
      first.push_back(entry);
      found = add_saturating(found, entry->ram->capacity());
    }
    return first;
  };
  const std::vector<Entry*> clean = first_of(by_worth_locked(
      [](const Entry& entry) { return entry.clean() && !entry.busy() && !entry.borrowed(); }));
  const Bytes clean_bytes = found;

  const auto wait_for_writes = [&]() -> bool {
    if (found >= shortage || !disk_usable_locked()) return false;
    const std::vector<Entry*> written = first_of(by_worth_locked([&](const Entry& entry) {
      return entry.dirty() && (entry.queued || entry.writing || may_write_locked(entry));
    }));
    const bool enough = found >= shortage;
    found = clean_bytes;
    for (Entry* entry : written) {
      if (enough) queue_locked(*entry);
    }
    return enough;
  };
  if (!query.now && wait_for_writes()) return NoRoom::writing;

  const double worth_of_new = worth_per_byte(query.cost_s, query.idle_s, query.bytes);
  const double at = now();
  const std::vector<Entry*> lost = first_of(by_worth_locked([&](const Entry& entry) {
    return entry.dirty() && !entry.writing && !entry.borrowed() && worth(entry, at) < worth_of_new;
  }));
  if (found < shortage) {
    found = clean_bytes;
    if (query.now && wait_for_writes()) return NoRoom::writing;
    const auto in_ram = [](const Entry& entry) { return entry.ram != nullptr; };
    return capacities(by_worth_locked(in_ram)) < shortage ? NoRoom::too_large : NoRoom::worth_less;
  }
  for (Entry* entry : clean) dropped.push_back(std::move(entry->ram));
  for (const Entry* entry : lost) erase_locked(entry->id, counters.lost.ram_full, dropped);
  return std::nullopt;
}

// Has files written early, the least worth first, so that room() need not wait for them.
void KvStore::State::write_ahead_locked() {
  if (!disk_usable_locked()) return;
  const auto ready = [](const Entry& entry) {
    return entry.clean() || (entry.ram && (entry.queued || entry.writing));
  };
  const auto unwritten = [](const Entry& entry) {
    return entry.dirty() && !entry.queued && !entry.writing;
  };
  const Bytes wanted = host->cap() / kReadyShare;
  Bytes soon = host->free() + pool.idle() + capacities(by_worth_locked(ready));
  if (soon >= wanted) return;
  for (Entry* entry : by_worth_locked(unwritten)) {
    if (soon >= wanted) return;
    if (!may_write_locked(*entry)) continue;
    soon += entry->ram->capacity();
    queue_locked(*entry);
  }
}

bool KvStore::State::make_room(Bytes bytes, bool patient) {
  const RoomQuery query{
      .bytes = bytes, .cost_s = std::numeric_limits<double>::infinity(), .now = !patient};
  for (;;) {
    const Bytes missing = sub_floor(bytes, host->free());
    if (missing == 0) return true;
    pool.trim(sub_floor(pool.idle(), missing));
    const Bytes shortage = sub_floor(bytes, host->free());
    if (shortage == 0) return true;
    Buffers dropped;
    const std::lock_guard lock(mutex);
    if (drop_locked(query, shortage, dropped)) return false;
  }
}

bool KvStore::make_room(Bytes bytes, bool now) {
  return state_->make_room(bytes, !now);
}

}  // namespace lmx
