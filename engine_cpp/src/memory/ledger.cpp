#include "lmx/memory/ledger.hpp"

namespace lmx {

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::weights:
      return "weights";
    case Kind::kv:
      return "kv";
    case Kind::compute:
      return "compute";
    case Kind::stream_slots:
      return "stream_slots";
    case Kind::foreign:
      return "foreign";
  }
  return "unknown";
}

std::optional<Denial> Ledger::reserve(std::span<const Claim> claims) {
  Bytes needs = 0;
  for (const Claim& claim : claims) needs = add_saturating(needs, claim.bytes);
  if (needs > free()) return Denial{needs, cap_, free()};
  for (const Claim& claim : claims) {
    if (claim.bytes > 0) holders_[claim.holder][claim.kind] += claim.bytes;
  }
  return std::nullopt;
}

void Ledger::set(const std::string& holder, Kind kind, Bytes bytes) {
  if (bytes > 0) {
    holders_[holder][kind] = bytes;
    return;
  }
  const auto found = holders_.find(holder);
  if (found == holders_.end()) return;
  found->second.erase(kind);
  if (found->second.empty()) holders_.erase(found);
}

Bytes Ledger::release(const std::string& holder) {
  const Bytes bytes = held(holder);
  holders_.erase(holder);
  return bytes;
}

Bytes Ledger::used() const {
  Bytes total = 0;
  for (const auto& [holder, kinds] : holders_) {
    for (const auto& [kind, bytes] : kinds) total = add_saturating(total, bytes);
  }
  return total;
}

Bytes Ledger::held(const std::string& holder) const {
  Bytes total = 0;
  for (Kind kind : kKinds) total = add_saturating(total, held(holder, kind));
  return total;
}

Bytes Ledger::held(const std::string& holder, Kind kind) const {
  const auto found = holders_.find(holder);
  if (found == holders_.end()) return 0;
  const auto entry = found->second.find(kind);
  return entry == found->second.end() ? 0 : entry->second;
}

Bytes Ledger::held(Kind kind) const {
  Bytes total = 0;
  for (const auto& [holder, kinds] : holders_) total = add_saturating(total, held(holder, kind));
  return total;
}

std::vector<Claim> Ledger::entries() const {
  std::vector<Claim> all;
  for (const auto& [holder, kinds] : holders_) {
    for (const auto& [kind, bytes] : kinds) all.push_back({holder, kind, bytes});
  }
  return all;
}

}  // namespace lmx
