// Turns the bytes of tokens into text that may be shown: whole code points only, nothing past a
// stop string, and nothing that might still become one. Pure: knows nothing of models.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lmx {

class TextStream {
 public:
  TextStream() = default;

  // Empty stop strings are ignored.
  explicit TextStream(std::vector<std::string> stops);

  // Adds the bytes of one token; returns what may be shown now. Nothing more comes after a stop.
  std::string push(std::string_view bytes);

  // Ends the stream: what was held back, with a cut-off code point replaced by U+FFFD.
  std::string flush();

  // True once a stop string was completed; it is not part of the text.
  bool stopped() const { return stopped_; }

 private:
  void take_valid_utf8();
  std::string emit_up_to_stop();

  std::vector<std::string> stops_;
  std::string raw_;      // bytes that do not yet end a code point
  std::string pending_;  // valid text that may be the beginning of a stop string
  bool stopped_ = false;
};

}  // namespace lmx
