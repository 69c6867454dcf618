#include "lmx/sessions/kv_store.hpp"

#include <algorithm>
#include <chrono>

#include "sessions/kv_store_state.hpp"

namespace lmx {

namespace {

constexpr const char* kHolder = "saved sequences";
constexpr const char* kIndexHolder = "saved sequences: index";

double system_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Bytes size_of_index(const SequenceLabel& label) {
  return sizeof(Entry) + sizeof(SequenceLabel) + label.fingerprint.size() + label.session.size() +
         label.tokens.size() * sizeof(std::int32_t) +
         label.tokens.size() / kBlockTokens * sizeof(std::uint64_t);
}

// Whether an anonymous sequence is of no more use beside a newer one.
bool covered(const SequenceLabel& old, const SequenceLabel& newer) {
  return old.session.empty() && old.fingerprint == newer.fingerprint &&
         old.exact_until <= newer.exact_until && old.tokens.size() <= newer.tokens.size() &&
         common_prefix(old.tokens, newer.tokens) == old.tokens.size();
}

Match match_of(const Entry& entry, const PrefixQuery& query) {
  const auto common = static_cast<std::uint32_t>(common_prefix(query.tokens, entry.label->tokens));
  const auto total = static_cast<std::uint32_t>(entry.label->tokens.size());
  std::uint32_t usable = query.exact ? std::min(common, entry.label->exact_until) : common;
  if (query.whole && usable < total) usable = 0;
  return {.id = entry.id,
          .usable = usable,
          .common = common,
          .total = total,
          .bytes = entry.bytes,
          .where = entry.ram ? Where::ram : Where::disk,
          .own = !query.session.empty() && query.session == entry.label->session};
}

bool better(const Match& a, const Match& b) {
  const auto rank = [](const Match& match) {
    return std::tuple(match.usable, match.own, match.where == Where::ram, kMaxBytes - match.bytes);
  };
  return rank(a) > rank(b);
}

}  // namespace

bool older_state(const Entry& old, const Entry& newer) {
  return old.id < newer.id && !old.label->session.empty() &&
         old.label->session == newer.label->session &&
         old.label->fingerprint == newer.label->fingerprint;
}

const char* where_name(Where where) {
  return where == Where::ram ? "ram" : "disk";
}

double worth_per_byte(double cost_s, double idle_s, Bytes bytes) {
  return cost_s / (1 + idle_s) / static_cast<double>(std::max<Bytes>(bytes, 1));
}

KvStore::State::State(std::shared_ptr<SharedLedger> ledger, KvStoreOptions given)
    : options(std::move(given)),
      host(std::move(ledger)),
      pool(host, options.allocator, kHolder, options.max_idle) {
  if (!options.now) options.now = system_now;
  if (!options.spill_dir.empty() && options.spill_bytes > 0) open_folder();
  if (folder) writer = std::thread([this] { write_forever(); });
  if (folder) reader = std::thread([this] { read_forever(); });
}

KvStore::State::~State() {
  {
    const std::lock_guard lock(mutex);
    closing = true;
  }
  changed.notify_all();
  if (writer.joinable()) writer.join();
  if (reader.joinable()) reader.join();
  host->release(kIndexHolder);
}

Entry* KvStore::State::entry_locked(SavedId id) {
  const auto found = entries.find(id);
  return found == entries.end() ? nullptr : &found->second;
}

bool KvStore::State::book_index(const SequenceLabel& label) {
  const Bytes bytes = size_of_index(label);
  while (host->reserve(Claim{kIndexHolder, Kind::kv, bytes})) {
    if (!make_room(bytes, false)) return false;
  }
  return true;
}

Entry& KvStore::State::add_locked(SequenceLabel label, Bytes bytes, double last_used) {
  Entry entry;
  entry.id = ++last_id;
  entry.hashes = block_hashes(label.tokens);
  entry.label = std::make_shared<const SequenceLabel>(std::move(label));
  entry.bytes = bytes;
  entry.last_used = last_used;
  return entries.emplace(entry.id, std::move(entry)).first->second;
}

void KvStore::State::erase_locked(SavedId id, std::uint64_t& reason, Buffers& dropped) {
  Entry* entry = entry_locked(id);
  if (entry == nullptr) return;
  drop_file_locked(*entry);
  if (entry->ram) dropped.push_back(std::move(entry->ram));
  host->give_back(kIndexHolder, Kind::kv, size_of_index(*entry->label));
  entries.erase(id);
  reason += 1;
}

// An older state of the same session leaves memory at once; its file stays until the newer one has
// a file too, so that a crash in between finds one of them.
void KvStore::State::supersede_locked(const Entry& newer, Buffers& dropped) {
  std::vector<SavedId> gone;
  for (auto& [id, old] : entries) {
    if (id >= newer.id) break;
    const bool state = older_state(old, newer);
    if (!state && !covered(*old.label, *newer.label)) continue;
    if (newer.file || !old.file || !state) {
      gone.push_back(id);
    } else if (old.ram) {
      dropped.push_back(std::move(old.ram));
    }
  }
  for (SavedId id : gone) erase_locked(id, counters.lost.superseded, dropped);
}

KvStore::KvStore(std::shared_ptr<SharedLedger> host, KvStoreOptions options)
    : state_(std::make_unique<State>(std::move(host), std::move(options))) {}

KvStore::~KvStore() = default;

Room KvStore::room(const RoomQuery& query) {
  Room room;
  room.buffer = state_->buffer(query, room.why);
  if (!room) {
    const std::lock_guard lock(state_->mutex);
    state_->counters.refused += 1;
  }
  return room;
}

SavedId KvStore::keep(SequenceLabel label, HostBuffer bytes) {
  Buffers dropped;
  SavedId id = 0;
  if (!state_->book_index(label)) return 0;
  {
    const std::lock_guard lock(state_->mutex);
    Entry& entry = state_->add_locked(std::move(label), bytes.size(), state_->now());
    entry.ram = std::make_shared<const HostBuffer>(std::move(bytes));
    id = entry.id;
    state_->counters.kept += 1;
    state_->supersede_locked(entry, dropped);
    state_->write_ahead_locked();
  }
  state_->changed.notify_all();
  return id;
}

std::optional<Match> KvStore::find(const PrefixQuery& query) {
  const std::vector<std::uint64_t> hashes = block_hashes(query.tokens);
  const std::lock_guard lock(state_->mutex);
  std::optional<Match> best;
  for (const auto& [id, entry] : state_->entries) {
    if (entry.label->fingerprint != query.fingerprint) continue;
    // The next block is not equal as a whole: what it can add is less than its length.
    const std::size_t most = (common_blocks(hashes, entry.hashes) + 1) * kBlockTokens - 1;
    if (best && most < best->usable) continue;
    const Match match = match_of(entry, query);
    if (match.usable > 0 && (!best || better(match, *best))) best = match;
  }
  (best ? state_->counters.hits : state_->counters.misses) += 1;
  return best;
}

void KvStore::prefetch(SavedId id) {
  {
    const std::lock_guard lock(state_->mutex);
    const Entry* entry = state_->entry_locked(id);
    if (entry == nullptr || entry->ram || entry->loading) return;
    if (std::ranges::find(state_->to_read, id) != state_->to_read.end()) return;
    state_->to_read.push_back(id);
  }
  state_->changed.notify_all();
}

std::optional<SavedSequence> KvStore::read(SavedId id) {
  return state_->borrow(id, false, false);
}

std::optional<SavedSequence> KvStore::take(SavedId id) {
  return state_->borrow(id, true, false);
}

std::optional<SavedSequence> KvStore::State::borrow(SavedId id, bool take, bool patient) {
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] {
    const Entry* entry = entry_locked(id);
    return entry == nullptr || !entry->loading;
  });
  Entry* entry = entry_locked(id);
  if (entry == nullptr) return std::nullopt;
  std::optional<SavedSequence> borrowed;
  if (entry->ram) {
    entry->last_used = now();
    borrowed = SavedSequence{entry->label, entry->ram};
  } else {
    borrowed = load(id, patient, lock);
    entry = entry_locked(id);
  }
  if (!borrowed || !take || entry == nullptr) return borrowed;
  counters.taken += 1;
  entry->ram.reset();
  if (entry->file || entry->writing) return borrowed;
  Buffers dropped;
  std::uint64_t not_lost = 0;
  erase_locked(id, not_lost, dropped);
  return borrowed;
}

std::size_t KvStore::forget(const std::string& session) {
  Buffers dropped;
  std::unique_lock lock(state_->mutex);
  std::vector<SavedId> gone;
  for (const auto& [id, entry] : state_->entries) {
    if (entry.label->session == session) gone.push_back(id);
  }
  for (SavedId id : gone) state_->erase_locked(id, state_->counters.lost.forgotten, dropped);
  state_->bury(lock);
  return gone.size();
}

KvStoreView KvStore::view() const {
  KvStoreView view;
  const std::lock_guard lock(state_->mutex);
  const double now = state_->now();
  view.idle_bytes = state_->pool.idle();
  view.ram_bytes = sub_floor(state_->pool.booked(), view.idle_bytes);
  view.disk_bytes = state_->disk_bytes;
  view.disk_limit = state_->options.spill_bytes;
  view.disk_usable = state_->disk_usable_locked();
  view.counters = state_->counters;
  for (const auto& [id, entry] : state_->entries) {
    view.writing += entry.queued || entry.writing ? 1 : 0;
    view.sequences.push_back({.id = id,
                              .session = entry.label->session,
                              .fingerprint = entry.label->fingerprint,
                              .tokens = static_cast<std::uint32_t>(entry.label->tokens.size()),
                              .bytes = entry.bytes,
                              .where = entry.ram ? Where::ram : Where::disk,
                              .on_disk = entry.file.has_value(),
                              .idle_s = state_->idle_s(entry, now),
                              .cost_s = entry.label->cost_s});
  }
  return view;
}

}  // namespace lmx
