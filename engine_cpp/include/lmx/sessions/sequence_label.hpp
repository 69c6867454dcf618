// What a saved sequence is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lmx {

using Tokens = std::vector<std::int32_t>;

struct SequenceLabel {
  std::string fingerprint;        // of model, context and library: equal means that the bytes fit
  std::string session;            // empty: anonymous
  Tokens tokens;                  // whose keys and values the bytes hold
  std::uint32_t exact_until = 0;  // leading tokens that were computed in whole chunks
  double cost_s = 0;              // seconds that computing it again would take

  bool operator==(const SequenceLabel&) const = default;
};

}  // namespace lmx
