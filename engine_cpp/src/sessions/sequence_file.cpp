#include "lmx/sessions/sequence_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <system_error>
#include <vector>

#include "lmx/base/checksum.hpp"
#include "lmx/base/file_descriptor.hpp"

namespace lmx {

namespace {

constexpr std::array<char, 8> kMagic = {'l', 'm', 'x', 'k', 'v', 's', 'e', 'q'};
constexpr std::uint32_t kVersion = 1;
constexpr Bytes kAlignment = 64;  // of the payload in the file

// The beginning of a file, little endian. After it: fingerprint, session, tokens, zeros up to
// payload_offset, payload.
struct Fixed {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t exact_until = 0;
  std::uint64_t payload_offset = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t payload_sum = 0;
  double last_used = 0;
  double cost_s = 0;
  std::uint64_t tokens = 0;
  std::uint32_t fingerprint_bytes = 0;
  std::uint32_t session_bytes = 0;
  std::uint64_t label_sum = 0;  // of all between this and the payload
  std::uint64_t own_sum = 0;    // of this structure before this field
};
static_assert(sizeof(Fixed) == 88 && std::is_trivially_copyable_v<Fixed>);

std::uint64_t own_sum(const Fixed& fixed) {
  return checksum(std::as_bytes(std::span(&fixed, 1)).first(offsetof(Fixed, own_sum)));
}

// A fuzzer cannot guess checksums: its build looks behind them.
bool matches(std::uint64_t found, std::uint64_t expected) {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
  (void)found, (void)expected;
  return true;
#else
  return found == expected;
#endif
}

Bytes label_bytes(const SequenceLabel& label) {
  return label.fingerprint.size() + label.session.size() +
         label.tokens.size() * sizeof(std::int32_t);
}

Bytes payload_offset(const SequenceLabel& label) {
  return (sizeof(Fixed) + label_bytes(label) + kAlignment - 1) / kAlignment * kAlignment;
}

std::byte* put(std::byte* at, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(at, from, bytes);
  return at + bytes;
}

std::vector<std::byte> header_bytes(const SequenceLabel& label, double last_used,
                                    std::span<const std::byte> payload) {
  Fixed fixed;
  fixed.exact_until = label.exact_until;
  fixed.payload_offset = payload_offset(label);
  fixed.payload_bytes = payload.size();
  fixed.payload_sum = checksum(payload);
  fixed.last_used = last_used;
  fixed.cost_s = label.cost_s;
  fixed.tokens = label.tokens.size();
  fixed.fingerprint_bytes = static_cast<std::uint32_t>(label.fingerprint.size());
  fixed.session_bytes = static_cast<std::uint32_t>(label.session.size());

  std::vector<std::byte> header(fixed.payload_offset);
  std::byte* at = header.data() + sizeof(Fixed);
  at = put(at, label.fingerprint.data(), label.fingerprint.size());
  at = put(at, label.session.data(), label.session.size());
  put(at, label.tokens.data(), label.tokens.size() * sizeof(std::int32_t));
  fixed.label_sum = checksum(std::span(header).subspan(sizeof(Fixed)));
  fixed.own_sum = own_sum(fixed);
  put(header.data(), &fixed, sizeof(Fixed));
  return header;
}

std::string reason(const char* what) {
  return std::string(what) + ": " + std::generic_category().message(errno);
}

bool write_all(int file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::write(file, bytes.data(), std::min<std::size_t>(bytes.size(), 1 << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

// False at the end of the file or on an error.
bool read_all(int file, std::span<std::byte> into, Bytes offset) {
  while (!into.empty()) {
    const ssize_t read = ::pread(file, into.data(), std::min<std::size_t>(into.size(), 1 << 30),
                                 static_cast<off_t>(offset));
    if (read < 0 && errno == EINTR) continue;
    if (read <= 0) return false;
    into = into.subspan(static_cast<std::size_t>(read));
    offset += static_cast<Bytes>(read);
  }
  return true;
}

std::optional<std::string> write_durably(const std::filesystem::path& path,
                                         std::span<const std::byte> header,
                                         std::span<const std::byte> payload) {
  const FileDescriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return reason("open");
  if (!write_all(file.get(), header) || !write_all(file.get(), payload)) return reason("write");
  if (::fsync(file.get()) != 0) return reason("fsync");
  return std::nullopt;
}

void sync_directory(const std::filesystem::path& path) {
  const FileDescriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) ::fsync(directory.get());
}

HeaderOrFault failed(FileFault fault) {
  return {std::nullopt, fault};
}

bool plausible(const Fixed& fixed) {
  return std::isfinite(fixed.last_used) && std::isfinite(fixed.cost_s) && fixed.cost_s >= 0 &&
         fixed.exact_until <= fixed.tokens;
}

// Whether the lengths that the header names add up to the length of the file.
bool whole(const Fixed& fixed, Bytes file_size) {
  if (fixed.tokens > file_size / sizeof(std::int32_t)) return false;
  const Bytes label =
      Bytes{fixed.fingerprint_bytes} + fixed.session_bytes + fixed.tokens * sizeof(std::int32_t);
  return fixed.payload_offset <= file_size && sizeof(Fixed) + label <= fixed.payload_offset &&
         fixed.payload_bytes == file_size - fixed.payload_offset;
}

SequenceLabel parse_label(const Fixed& fixed, const std::byte* at) {
  SequenceLabel label;
  const char* text = reinterpret_cast<const char*>(at);
  label.fingerprint.assign(text, fixed.fingerprint_bytes);
  label.session.assign(text + fixed.fingerprint_bytes, fixed.session_bytes);
  label.tokens.resize(fixed.tokens);
  const Bytes names = Bytes{fixed.fingerprint_bytes} + fixed.session_bytes;
  if (fixed.tokens > 0) {
    std::memcpy(label.tokens.data(), at + names, fixed.tokens * sizeof(std::int32_t));
  }
  label.exact_until = fixed.exact_until;
  label.cost_s = fixed.cost_s;
  return label;
}

}  // namespace

const char* fault_name(FileFault fault) {
  switch (fault) {
    case FileFault::unreadable:
      return "unreadable";
    case FileFault::foreign:
      return "foreign";
    case FileFault::torn:
      return "torn";
    case FileFault::damaged:
      return "damaged";
  }
  return "unknown";
}

Bytes file_bytes(const SequenceLabel& label, Bytes payload) {
  return add_saturating(payload_offset(label), payload);
}

std::optional<std::string> write_sequence(const std::filesystem::path& path,
                                          const SequenceLabel& label, double last_used,
                                          std::span<const std::byte> payload) {
  const std::vector<std::byte> header = header_bytes(label, last_used, payload);
  std::filesystem::path partial = path;
  partial += kPartialSuffix;
  std::optional<std::string> failure = write_durably(partial, header, payload);
  if (!failure && ::rename(partial.c_str(), path.c_str()) != 0) failure = reason("rename");
  if (failure) {
    ::unlink(partial.c_str());
  } else {
    sync_directory(path.parent_path());
  }
  return failure;
}

HeaderOrFault read_header(const std::filesystem::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return failed(FileFault::unreadable);
  }
  const Bytes size = static_cast<Bytes>(status.st_size);
  Fixed fixed;
  if (size < sizeof(Fixed)) return failed(FileFault::torn);
  if (!read_all(file.get(), std::as_writable_bytes(std::span(&fixed, 1)), 0)) {
    return failed(FileFault::unreadable);
  }
  if (fixed.magic != kMagic || fixed.version != kVersion) return failed(FileFault::foreign);
  if (!matches(own_sum(fixed), fixed.own_sum)) return failed(FileFault::damaged);
  if (!whole(fixed, size)) return failed(FileFault::torn);
  if (!plausible(fixed)) return failed(FileFault::damaged);

  std::vector<std::byte> label(fixed.payload_offset - sizeof(Fixed));
  if (!read_all(file.get(), label, sizeof(Fixed))) return failed(FileFault::unreadable);
  if (!matches(checksum(label), fixed.label_sum)) return failed(FileFault::damaged);
  return {FileHeader{.label = parse_label(fixed, label.data()),
                     .last_used = fixed.last_used,
                     .payload_bytes = fixed.payload_bytes,
                     .payload_offset = fixed.payload_offset,
                     .payload_sum = fixed.payload_sum},
          {}};
}

std::optional<FileFault> read_payload(const std::filesystem::path& path, const FileHeader& header,
                                      std::span<std::byte> into) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) return FileFault::unreadable;
  if (static_cast<Bytes>(status.st_size) != header.file_bytes()) return FileFault::torn;
  if (!read_all(file.get(), into, header.payload_offset)) return FileFault::unreadable;
  if (!matches(checksum(into), header.payload_sum)) return FileFault::damaged;
  return std::nullopt;
}

}  // namespace lmx
