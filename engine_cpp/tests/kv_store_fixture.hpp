// A store of saved sequences with a clock that stands still until it is told.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "check.hpp"
#include "lmx/sessions/kv_store.hpp"
#include "temp_dir.hpp"

namespace check {

using namespace lmx;

inline constexpr Bytes kKiB = 1024;

inline Tokens tokens_from(std::int32_t first, std::size_t count) {
  Tokens tokens(count);
  for (std::size_t i = 0; i < count; ++i) tokens[i] = first + static_cast<std::int32_t>(i);
  return tokens;
}

struct StoreFixture {
  std::shared_ptr<SharedLedger> host;
  std::shared_ptr<std::atomic<double>> clock = std::make_shared<std::atomic<double>>(1e9);
  std::vector<std::string> warnings;
  std::mutex warnings_mutex;
  KvStoreOptions options;
  std::unique_ptr<KvStore> store;

  explicit StoreFixture(Bytes ram, std::filesystem::path spill_dir = {},
                        Bytes spill_bytes = 1 << 30)
      : host(std::make_shared<SharedLedger>(ram)) {
    options.spill_dir = std::move(spill_dir);
    options.spill_bytes = spill_bytes;
    options.spill_after_s = 1e6;
    options.min_disk_free = 0;
    options.now = [now = clock] { return now->load(); };
    options.warn = [this](const std::string& line) {
      const std::lock_guard lock(warnings_mutex);
      warnings.push_back(line);
    };
    open();
  }

  void open() { store = std::make_unique<KvStore>(host, options); }
  void reopen() {
    store.reset();
    open();
  }
  void pass(double seconds) { *clock = *clock + seconds; }

  // Of `kib` KiB, each byte the low byte of the first token.
  SavedId keep(const std::string& session, Tokens tokens, Bytes kib, double cost_s = 1) {
    Room room = store->room({.bytes = kib * kKiB, .cost_s = cost_s});
    CHECK(room);
    if (!room) return 0;
    std::ranges::fill(room.buffer->view(), static_cast<std::byte>(tokens.front()));
    SequenceLabel label{
        .fingerprint = "m", .session = session, .tokens = std::move(tokens), .cost_s = cost_s};
    label.exact_until = static_cast<std::uint32_t>(label.tokens.size() / 2);
    return store->keep(std::move(label), std::move(*room.buffer));
  }

  std::optional<Match> find(const std::string& session, const Tokens& tokens) const {
    return store->find({.fingerprint = "m", .session = session, .tokens = tokens});
  }

  // Whether it has `kib` KiB of this byte.
  static bool holds(const std::optional<SavedSequence>& saved, Bytes kib, std::int32_t byte) {
    return saved && saved->bytes->size() == kib * kKiB &&
           std::ranges::all_of(saved->bytes->view(), [&](std::byte each) {
             return each == static_cast<std::byte>(byte);
           });
  }

  const SavedView* view_of(const KvStoreView& view, const std::string& session) const {
    const auto found = std::ranges::find(view.sequences, session, &SavedView::session);
    return found == view.sequences.end() ? nullptr : &*found;
  }
};

}  // namespace check
