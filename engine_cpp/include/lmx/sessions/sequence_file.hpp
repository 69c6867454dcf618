// A saved sequence as a file: a header that says what it is, and the bytes, both under a checksum.
//
// Written to a temporary name, synced and renamed: under its own name a file is whole, unless the
// disk or somebody damaged it, which reading finds out.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "lmx/base/bytes.hpp"
#include "lmx/sessions/sequence_label.hpp"

namespace lmx {

// What the name of a file ends with until it is whole.
inline constexpr const char* kPartialSuffix = ".part";

enum class FileFault {
  unreadable,  // missing, or the system would not read it
  foreign,     // not one of these files, or of another version
  torn,        // shorter or longer than it should be
  damaged,     // a checksum does not match
};

const char* fault_name(FileFault fault);

struct FileHeader {
  SequenceLabel label;
  double last_used = 0;  // seconds since 1970
  Bytes payload_bytes = 0;
  Bytes payload_offset = 0;
  std::uint64_t payload_sum = 0;

  Bytes file_bytes() const { return payload_offset + payload_bytes; }
};

// The length of the file that holds this.
Bytes file_bytes(const SequenceLabel& label, Bytes payload);

// Nothing when it was written and is durable, else why not; no file is left then.
std::optional<std::string> write_sequence(const std::filesystem::path& path,
                                          const SequenceLabel& label, double last_used,
                                          std::span<const std::byte> payload);

struct HeaderOrFault {
  std::optional<FileHeader> header;
  FileFault fault = FileFault::unreadable;
};

// Reads the header only; that the payload has its full length is checked, its checksum is not.
HeaderOrFault read_header(const std::filesystem::path& path);

// Reads the payload of a file with this header into `into`, which has its size. Nothing when all
// is well.
std::optional<FileFault> read_payload(const std::filesystem::path& path, const FileHeader& header,
                                      std::span<std::byte> into);

}  // namespace lmx
