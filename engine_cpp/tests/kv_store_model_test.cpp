// The store under random use beside a naive one that remembers everything.
#include <map>
#include <random>
#include <thread>

#include "kv_store_fixture.hpp"
#include "lmx/sessions/kv_store.hpp"

using namespace lmx;
using check::kKiB;
using check::StoreFixture;
using check::TempDir;

namespace {

struct Random {
  std::mt19937 engine;
  int operator()(int below) { return static_cast<int>(engine() % static_cast<unsigned>(below)); }
};

// Few first tokens and long equal runs, so that prefixes are shared and part within blocks.
Tokens random_tokens(Random& random) {
  Tokens tokens(static_cast<std::size_t>(1 + random(200)), random(3));
  const int changes = random(3);
  for (int i = 0; i < changes; ++i) {
    const auto from = tokens.begin() + random(static_cast<int>(tokens.size()));
    std::fill(from, tokens.end(), random(5));
  }
  return tokens;
}

std::string random_session(Random& random) {
  const int number = random(8);
  return number < 2 ? "" : "session " + std::to_string(number);
}

struct Remembered {
  SequenceLabel label;
  std::byte fill{};
  Bytes bytes = 0;
};

class Model {
 public:
  explicit Model(unsigned seed, bool disk)
      : random_{std::mt19937(seed)},
        f_(400 * kKiB, disk ? dir_.path() : std::filesystem::path(), 300 * kKiB) {}

  void run(int steps) {
    for (int step = 0; step < steps; ++step) {
      const int what = random_(20);
      if (what < 8)
        keep();
      else if (what < 14)
        find();
      else if (what < 16)
        take();
      else if (what == 16)
        f_.pass(random_(100));
      else if (what == 17)
        f_.store->forget(random_session(random_));
      else if (what == 18)
        f_.store->spill_all(30);
      else if (random_(4) == 0)
        restart();
      limits_hold();
    }
  }

 private:
  void keep() {
    const Bytes bytes = static_cast<Bytes>(1 + random_(60)) * kKiB;
    SequenceLabel label{.fingerprint = random_(8) == 0 ? "other" : "m",
                        .session = random_session(random_),
                        .tokens = random_tokens(random_),
                        .cost_s = 0.1 * (1 + random_(100))};
    label.exact_until = static_cast<std::uint32_t>(random_(static_cast<int>(label.tokens.size())));
    Room room = f_.store->room({.bytes = bytes, .cost_s = label.cost_s, .now = random_(2) == 0});
    if (!room) return;
    const auto fill = static_cast<std::byte>(random_(256));
    std::ranges::fill(room.buffer->view(), fill);
    const SavedId id = f_.store->keep(label, std::move(*room.buffer));
    kept_[id] = {std::move(label), fill, bytes};
  }

  // The usable prefix of a remembered sequence, told in the plainest way.
  static std::uint32_t usable(const SequenceLabel& label, const PrefixQuery& query) {
    std::uint32_t common = 0;
    while (common < label.tokens.size() && common < query.tokens.size() &&
           label.tokens[common] == query.tokens[common]) {
      ++common;
    }
    if (query.exact) common = std::min(common, label.exact_until);
    return query.whole && common < label.tokens.size() ? 0 : common;
  }

  void find() {
    const Tokens tokens = random_tokens(random_);
    const std::string session = random_session(random_);
    const PrefixQuery query{.fingerprint = "m",
                            .session = session,
                            .tokens = tokens,
                            .whole = random_(4) == 0,
                            .exact = random_(4) == 0};
    f_.store->spill_all(30);  // so that no sequence goes between the two looks
    std::uint32_t best = 0;
    for (const SavedView& view : f_.store->view().sequences) {
      if (view.fingerprint == "m") best = std::max(best, usable(kept_.at(view.id).label, query));
    }
    const auto match = f_.store->find(query);
    CHECK((match ? match->usable : 0) == best);
    if (match) CHECK(is_as_kept(match->id, f_.store->read(match->id)));
  }

  // Nothing may be missing for want of memory; what is there must be right.
  bool is_as_kept(SavedId id, const std::optional<SavedSequence>& saved) {
    if (!saved) return true;
    const Remembered& right = kept_.at(id);
    return *saved->label == right.label && saved->bytes->size() == right.bytes &&
           std::ranges::all_of(saved->bytes->view(),
                               [&](std::byte each) { return each == right.fill; });
  }

  void take() {
    const auto view = f_.store->view();
    if (view.sequences.empty()) return;
    const SavedId id =
        view.sequences[static_cast<std::size_t>(random_(static_cast<int>(view.sequences.size())))]
            .id;
    CHECK(is_as_kept(id, f_.store->take(id)));
  }

  // The next store has new ids for what was on disk: matched by session and tokens.
  void restart() {
    const bool all = random_(2) == 0;
    if (all) f_.store->spill_all(30);
    f_.reopen();
    std::map<SavedId, Remembered> found;
    for (const SavedView& view : f_.store->view().sequences) {
      const auto saved = f_.store->read(view.id);
      CHECK(saved.has_value());
      if (!saved) continue;
      const auto same = std::ranges::find_if(kept_, [&](const auto& each) {
        return each.second.label == *saved->label &&
               each.second.fill == saved->bytes->view().front() &&
               each.second.bytes == saved->bytes->size();
      });
      CHECK(same != kept_.end());
      if (same == kept_.end()) continue;
      found[view.id] = same->second;
      CHECK(std::ranges::all_of(saved->bytes->view(),
                                [&](std::byte each) { return each == same->second.fill; }));
    }
    kept_ = std::move(found);
  }

  void limits_hold() {
    CHECK(f_.host->now().used() <= f_.host->cap());
    const KvStoreView view = f_.store->view();
    CHECK(view.disk_bytes <= view.disk_limit);
    CHECK(view.counters.lost.damaged == 0 && view.counters.spill_failures == 0);
    std::map<std::string, int> states;
    for (const SavedView& each : view.sequences) {
      if (!each.session.empty()) states[each.fingerprint + "/" + each.session] += 1;
    }
    for (const auto& [session, count] : states) CHECK(count <= 2);
  }

  TempDir dir_;
  Random random_;
  StoreFixture f_;
  std::map<SavedId, Remembered> kept_;
};

}  // namespace

TEST("under random use in memory the store answers as a naive one would") {
  for (unsigned seed = 0; seed < 10; ++seed) Model(seed, false).run(300);
}

TEST("under random use with a disk and restarts the store answers as a naive one would") {
  for (unsigned seed = 0; seed < 8; ++seed) Model(seed, true).run(120);
}

TEST("threads that keep, find, take and look at once do not disturb each other") {
  const TempDir dir;
  StoreFixture f(400 * kKiB, dir.path(), 300 * kKiB);
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 4; ++number) {
    threads.emplace_back([&f, number] {
      Random random{std::mt19937(number)};
      for (int step = 0; step < 40; ++step) {
        const std::string session = "session " + std::to_string(random(6));
        Room room = f.store->room({.bytes = 20 * kKiB, .cost_s = 1, .now = random(2) == 0});
        if (room) {
          std::ranges::fill(room.buffer->view(), static_cast<std::byte>(number));
          f.store->keep({.fingerprint = "m",
                         .session = session,
                         .tokens = Tokens(50, static_cast<std::int32_t>(number)),
                         .cost_s = 1},
                        std::move(*room.buffer));
        }
        const Tokens query(60, random(4));
        const auto match = f.find(session, query);
        if (!match) continue;
        if (random(3) == 0) f.store->prefetch(match->id);
        const auto saved = random(3) == 0 ? f.store->take(match->id) : f.store->read(match->id);
        if (saved) CHECK(saved->bytes->view().back() == static_cast<std::byte>(query.front()));
        if (random(10) == 0) f.store->forget(session);
        if (random(10) == 0) f.store->make_room(100 * kKiB, random(2) == 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  f.store->spill_all(30);
  const KvStoreView view = f.store->view();
  CHECK(view.counters.lost.damaged == 0 && view.counters.spill_failures == 0);
  CHECK(view.disk_bytes <= view.disk_limit && view.writing == 0);
}
