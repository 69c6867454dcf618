// A folder of an engine's own below the spill directory, so that engines that share the directory
// do not meet. A lock says that the owner lives; what a dead owner left is taken over.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lmx/base/bytes.hpp"
#include "lmx/base/file_descriptor.hpp"

namespace lmx {

class SpillFolder {
 public:
  // Makes the directory if need be. Nothing on failure, and then `failure` says why.
  static std::optional<SpillFolder> open(const std::filesystem::path& directory,
                                         std::string& failure);

  const std::filesystem::path& path() const { return path_; }

  // The whole files in it, those taken over included. Removes files that were never finished.
  std::vector<std::filesystem::path> files() const;

  // A name that no file has.
  std::filesystem::path new_file() const;

  // Bytes that the file system has left.
  Bytes disk_free() const;

 private:
  SpillFolder(std::filesystem::path path, FileDescriptor lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  FileDescriptor lock_;
};

}  // namespace lmx
