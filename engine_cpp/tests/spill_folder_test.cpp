#include "lmx/sessions/spill_folder.hpp"

#include <fstream>

#include "check.hpp"
#include "temp_dir.hpp"

using namespace lmx;
namespace fs = std::filesystem;

namespace {

std::optional<SpillFolder> open(const fs::path& directory) {
  std::string failure;
  auto folder = SpillFolder::open(directory, failure);
  CHECK(folder.has_value() == failure.empty());
  return folder;
}

void touch(const fs::path& path) {
  std::ofstream(path) << "x";
}

}  // namespace

TEST("engines on one directory get folders of their own") {
  const check::TempDir dir;
  const auto a = open(dir.path());
  const auto b = open(dir.path());
  CHECK(a && b && a->path() != b->path());
}

TEST("an engine finds its files again after a restart") {
  const check::TempDir dir;
  touch(open(dir.path())->new_file());
  CHECK(open(dir.path())->files().size() == 1);
}

TEST("what dead engines left is taken over, what live ones have is not") {
  const check::TempDir dir;
  std::optional<SpillFolder> a = open(dir.path());
  std::optional<SpillFolder> b = open(dir.path());
  std::optional<SpillFolder> c = open(dir.path());
  touch(a->new_file());
  touch(b->new_file());
  touch(c->new_file());
  const fs::path left = c->path();
  a.reset();
  c.reset();
  const auto next = open(dir.path());
  CHECK(next->files().size() == 2 && b->files().size() == 1);
  CHECK(!fs::exists(left));
}

TEST("files that were never finished are removed, files of others are let alone") {
  const check::TempDir dir;
  const auto folder = open(dir.path());
  touch(folder->path() / "a.kv.part");
  touch(folder->path() / "notes.txt");
  touch(folder->path() / "b.kv");
  CHECK(folder->files().size() == 1);
  CHECK(!fs::exists(folder->path() / "a.kv.part") && fs::exists(folder->path() / "notes.txt"));
}

TEST("a directory that cannot be made is a failure with its reason") {
  const check::TempDir dir;
  touch(dir.path() / "file");
  std::string failure;
  CHECK(!SpillFolder::open(dir.path() / "file" / "below", failure));
  CHECK(failure == "Not a directory");
}

TEST("the folder is closed to others, and new names are new") {
  const check::TempDir dir;
  const auto folder = open(dir.path() / "spill");
  CHECK(fs::status(dir.path() / "spill").permissions() == fs::perms::owner_all);
  CHECK(fs::status(folder->path()).permissions() == fs::perms::owner_all);
  CHECK(folder->new_file() != folder->new_file());
  CHECK(folder->disk_free() > 0);
}
