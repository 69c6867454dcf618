#include "lmx/sessions/spill_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>
#include <string_view>
#include <system_error>

#include "lmx/sessions/sequence_file.hpp"

namespace fs = std::filesystem;

namespace lmx {

namespace {

constexpr std::string_view kPrefix = "engine-";
constexpr std::string_view kSuffix = ".kv";
constexpr const char* kLock = "lock";
constexpr int kMostEngines = 10'000;

// The lock of this folder, or nothing when its owner lives (or the folder went away meanwhile).
FileDescriptor lock_folder(const fs::path& folder) {
  const fs::path name = folder / kLock;
  FileDescriptor lock(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock || ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return FileDescriptor();
  struct stat held{};
  struct stat named{};
  const bool same = ::fstat(lock.get(), &held) == 0 && ::stat(name.c_str(), &named) == 0 &&
                    held.st_ino == named.st_ino && held.st_dev == named.st_dev;
  return same ? std::move(lock) : FileDescriptor();
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> all;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    all.push_back(at->path());
  }
  std::ranges::sort(all);
  return all;
}

bool is_partial(const fs::path& file) {
  return file.extension() == kPartialSuffix;
}

// Moves what an engine that is no more left behind, and removes its folder. Its lock is held.
void take_over(const fs::path& left, const fs::path& own) {
  std::error_code error;
  for (const fs::path& file : entries_of(left)) {
    if (is_partial(file)) fs::remove(file, error);
    if (file.extension() == kSuffix) fs::rename(file, own / file.filename(), error);
  }
  fs::remove(left / kLock, error);
  fs::remove(left, error);  // only when it is empty: another may be making it its own
}

}  // namespace

std::optional<SpillFolder> SpillFolder::open(const fs::path& directory, std::string& failure) {
  std::error_code error;
  if (fs::create_directories(directory, error)) {
    fs::permissions(directory, fs::perms::owner_all, error);  // conversations are private
  }
  std::optional<SpillFolder> own;
  for (const fs::path& folder : entries_of(directory)) {
    if (!folder.filename().string().starts_with(kPrefix) || !fs::is_directory(folder, error)) {
      continue;
    }
    FileDescriptor lock = lock_folder(folder);
    if (!lock) continue;
    if (own) {
      take_over(folder, own->path());
    } else {
      own = SpillFolder(folder, std::move(lock));
    }
  }
  for (int number = 1; !own && number < kMostEngines; ++number) {
    const fs::path folder = directory / (std::string(kPrefix) + std::to_string(number));
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
      failure = std::generic_category().message(errno);
      return std::nullopt;
    }
    if (FileDescriptor lock = lock_folder(folder)) own = SpillFolder(folder, std::move(lock));
  }
  if (!own) failure = "no folder in it could be locked";
  return own;
}

std::vector<fs::path> SpillFolder::files() const {
  std::vector<fs::path> whole;
  std::error_code error;
  for (const fs::path& file : entries_of(path_)) {
    if (is_partial(file)) fs::remove(file, error);
    if (file.extension() == kSuffix) whole.push_back(file);
  }
  return whole;
}

fs::path SpillFolder::new_file() const {
  std::random_device random;
  std::error_code error;
  for (;;) {
    std::array<char, 32> name;
    std::snprintf(name.data(), name.size(), "%08x%08x.kv", random(), random());
    if (!fs::exists(path_ / name.data(), error)) return path_ / name.data();
  }
}

Bytes SpillFolder::disk_free() const {
  std::error_code error;
  const fs::space_info space = fs::space(path_, error);
  return error ? 0 : space.available;
}

}  // namespace lmx
