#include <fstream>
#include <future>

#include "kv_store_fixture.hpp"
#include "lmx/sessions/kv_store.hpp"

using namespace lmx;
using check::StoreFixture;
using check::TempDir;
using check::tokens_from;
namespace fs = std::filesystem;

namespace {

constexpr Bytes kKiB = 1024;
constexpr Bytes kRam = 1024 * kKiB;
constexpr Bytes kHeader = 4 * kKiB;  // more than what these tests' headers take
constexpr double kLong = 30;

std::vector<fs::path> files_below(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.path().extension() == ".kv") files.push_back(entry.path());
  }
  return files;
}

}  // namespace

TEST("what was spilled is found by the next store on the directory, by its header") {
  const TempDir dir;
  StoreFixture f(kRam, dir.path());
  f.keep("anna", tokens_from(7, 100), 8);
  f.keep("", tokens_from(9, 40), 8);
  CHECK(f.store->spill_all(kLong) == 2);
  f.reopen();
  const auto match = f.find("anna", tokens_from(7, 120));
  CHECK(match && match->usable == 100 && match->where == Where::disk && match->own);
  CHECK(f.store->view().counters.restores == 0);
  CHECK(StoreFixture::holds(f.store->read(match->id), 8, 7));
  CHECK(f.store->view().counters.restores == 1);
  CHECK(f.find("", tokens_from(9, 40))->usable == 40);
}

TEST("a fetch brings a sequence into memory on another thread") {
  const TempDir dir;
  StoreFixture f(kRam, dir.path());
  f.keep("anna", tokens_from(7, 100), 8);
  f.store->spill_all(kLong);
  std::promise<void> there;
  f.options.changed = [&] { there.set_value(); };
  f.reopen();
  f.store->prefetch(f.find("anna", tokens_from(7, 100))->id);
  there.get_future().get();
  CHECK(f.find("anna", tokens_from(7, 100))->where == Where::ram);
}

TEST("copies with a file leave memory without loss when room is needed") {
  const TempDir dir;
  StoreFixture f(128 * kKiB, dir.path());
  f.keep("anna", tokens_from(7, 40), 48, 100);
  f.store->spill_all(kLong);
  f.keep("bob", tokens_from(90, 40), 96, 1e-6);  // worth less, but nothing is lost
  const auto match = f.find("anna", tokens_from(7, 40));
  CHECK(match && match->where == Where::disk);
  f.store->spill_all(kLong);
  CHECK(StoreFixture::holds(f.store->take(match->id), 48, 7));
}

TEST("memory that fills up is written before it is needed") {
  const TempDir dir;
  StoreFixture f(128 * kKiB, dir.path());
  std::promise<void> written;
  f.options.changed = [&] { written.set_value(); };
  f.reopen();
  f.keep("anna", tokens_from(7, 40), 64);
  CHECK(f.store->view().writing == 0);
  f.keep("bob", tokens_from(90, 40), 40, 100);
  written.get_future().get();
  const KvStoreView view = f.store->view();
  CHECK(f.view_of(view, "anna")->on_disk && !f.view_of(view, "bob")->on_disk);
}

TEST("room that needs a file to be written first is asked for again, not waited for") {
  const TempDir dir;
  StoreFixture f(64 * kKiB, dir.path());
  f.keep("anna", tokens_from(7, 40), 48, 100);
  const RoomQuery query{.bytes = 32 * kKiB, .cost_s = 1e-6};
  Room room = f.store->room(query);
  while (!room && room.why == NoRoom::writing) {
    f.store->spill_all(kLong);
    room = f.store->room(query);
  }
  CHECK(room && f.find("anna", tokens_from(7, 40))->where == Where::disk);
}

TEST("a named session that was idle for a while is written, so that a crash does not lose it") {
  const TempDir dir;
  StoreFixture f(kRam, dir.path());
  std::promise<void> written;
  f.options.changed = [&] { written.set_value(); };
  f.options.spill_after_s = 0;
  f.reopen();
  f.keep("anna", tokens_from(7, 40), 8);
  written.get_future().get();
  CHECK(files_below(dir.path()).size() == 1);
}

TEST("what was taken is still on disk after a crash, until a later state is") {
  const TempDir dir;
  StoreFixture f(kRam, dir.path());
  f.keep("anna", tokens_from(7, 40), 8);
  f.store->spill_all(kLong);
  CHECK(f.store->take(f.find("anna", tokens_from(7, 40))->id));
  f.reopen();
  CHECK(StoreFixture::holds(f.store->take(f.find("anna", tokens_from(7, 40))->id), 8, 7));
  f.keep("anna", tokens_from(7, 60), 16);
  CHECK(files_below(dir.path()).size() == 1);
  f.store->spill_all(kLong);
  f.reopen();
  CHECK(f.find("anna", tokens_from(7, 90))->usable == 60);
  CHECK(f.store->view().sequences.size() == 1 && files_below(dir.path()).size() == 1);
}

TEST("a damaged file is removed and counted, and the sequence is not there") {
  const TempDir dir;
  StoreFixture f(kRam, dir.path());
  f.keep("anna", tokens_from(7, 40), 8);
  f.keep("bob", tokens_from(90, 40), 8);
  f.store->spill_all(kLong);
  f.store.reset();
  const auto files = files_below(dir.path());
  fs::resize_file(files[0], fs::file_size(files[0]) - 1);
  std::fstream(files[1], std::ios::in | std::ios::out | std::ios::binary).seekp(-1, std::ios::end)
      << 'x';
  f.open();
  CHECK(f.store->view().sequences.size() == 1 && f.store->view().counters.lost.damaged == 1);
  const SavedId flipped = f.store->view().sequences[0].id;
  CHECK(!f.store->read(flipped) && !f.store->read(flipped));
  CHECK(f.store->view().sequences.empty() && f.store->view().counters.lost.damaged == 2);
  f.reopen();
  CHECK(files_below(dir.path()).empty());
}

TEST("a file of another version is removed and counted") {
  const TempDir dir;
  StoreFixture f(kRam, dir.path());
  f.keep("anna", tokens_from(7, 40), 8);
  f.store->spill_all(kLong);
  f.store.reset();
  std::fstream(files_below(dir.path())[0], std::ios::in | std::ios::out | std::ios::binary).seekp(8)
      << 'x';
  f.reopen();
  CHECK(f.store->view().counters.lost.foreign == 1 && f.store->view().sequences.empty());
}

TEST("the limit of the disk holds, for what is worth more, and across a restart") {
  const TempDir dir;
  const Bytes two = 2 * (8 * kKiB + kHeader);
  StoreFixture f(kRam, dir.path(), two);
  f.keep("cheap", tokens_from(0, 40), 8, 1);
  f.keep("dear", tokens_from(100, 40), 8, 3);
  f.keep("usual", tokens_from(200, 40), 8, 2);
  CHECK(f.store->spill_all(kLong) == 2);
  CHECK(f.store->view().disk_bytes <= two);
  f.reopen();
  CHECK(!f.find("cheap", tokens_from(0, 40)) && f.find("usual", tokens_from(200, 40)));
  f.keep("new", tokens_from(300, 40), 8, 9);
  CHECK(f.store->spill_all(kLong) == 2);
  CHECK(!f.find("usual", tokens_from(200, 40)) && f.store->view().counters.lost.disk_full == 1);
  f.options.spill_bytes = two / 2;
  f.reopen();
  CHECK(f.store->view().sequences.size() == 1 && f.find("new", tokens_from(300, 40)));
  CHECK(f.store->view().disk_bytes <= two / 2);
}

TEST("files that nobody used for long are removed at start") {
  const TempDir dir;
  StoreFixture f(kRam, dir.path());
  f.keep("anna", tokens_from(0, 40), 8);
  f.store->spill_all(kLong);
  f.pass(f.options.max_age_s + 1);
  f.reopen();
  CHECK(f.store->view().sequences.empty() && f.store->view().counters.lost.too_old == 1);
  f.reopen();
  CHECK(files_below(dir.path()).empty());
}

TEST("a forgotten session leaves no file") {
  const TempDir dir;
  StoreFixture f(kRam, dir.path());
  f.keep("anna", tokens_from(0, 40), 8);
  f.store->spill_all(kLong);
  CHECK(f.store->forget("anna") == 1 && files_below(dir.path()).empty());
  CHECK(f.store->view().disk_bytes == 0);
}

TEST("a directory that cannot be used is warned of once; memory serves on") {
  const TempDir dir;
  std::ofstream(dir.path() / "file") << "x";
  StoreFixture f(kRam, dir.path() / "file" / "spill");
  f.keep("anna", tokens_from(7, 40), 8);
  CHECK(f.store->spill_all(kLong) == 0);
  CHECK(StoreFixture::holds(f.store->read(1), 8, 7));
  CHECK(f.warnings.size() == 1 && f.store->view().counters.spill_failures == 1);
  CHECK(!f.store->view().disk_usable);
}

TEST("a disk that fails later is warned of once, and tried again after a while") {
  const TempDir dir;
  StoreFixture f(kRam, dir.path());
  const fs::path folder = fs::directory_iterator(dir.path())->path();
  fs::rename(folder, dir.path() / "away");
  f.keep("anna", tokens_from(7, 40), 8);
  f.keep("bob", tokens_from(90, 40), 8);
  CHECK(f.store->spill_all(kLong) == 0 && f.store->spill_all(kLong) == 0);
  CHECK(f.warnings.size() == 1 && f.store->view().counters.spill_failures == 2);
  CHECK(!f.store->view().disk_usable && f.store->view().disk_bytes == 0);
  CHECK(f.find("anna", tokens_from(7, 40)) && f.find("bob", tokens_from(90, 40)));
  fs::rename(dir.path() / "away", folder);
  f.pass(61);
  CHECK(f.store->view().disk_usable && f.store->spill_all(kLong) == 2);
}

TEST("a disk with too little left for others is not filled") {
  const TempDir dir;
  StoreFixture f(kRam, dir.path());
  f.options.min_disk_free = kMaxBytes / 2;
  f.reopen();
  f.keep("anna", tokens_from(7, 40), 8);
  CHECK(f.store->spill_all(kLong) == 0);
  CHECK(f.warnings.size() == 1 && f.warnings[0].ends_with("the disk is nearly full"));
}

TEST("stores on the same directory do not see each other's sequences") {
  const TempDir dir;
  StoreFixture a(kRam, dir.path());
  StoreFixture b(kRam, dir.path());
  a.keep("anna", tokens_from(0, 40), 8);
  b.keep("bob", tokens_from(100, 40), 8);
  CHECK(a.store->spill_all(kLong) == 1 && b.store->spill_all(kLong) == 1);
  a.store.reset();
  b.reopen();
  CHECK(b.find("anna", tokens_from(0, 40)) && b.find("bob", tokens_from(100, 40)));
}
