#include "lmx/text/text_stream.hpp"

#include <algorithm>

namespace lmx {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

enum class Sequence { complete, incomplete, invalid };

struct Scan {
  Sequence kind;
  std::size_t length;  // bytes to take, or to replace by one replacement character
};

struct LeadByte {
  std::size_t length;
  unsigned char low, high;  // bounds of the second byte, which exclude overlong forms
};

LeadByte classify(unsigned char lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead >= 0xC2 && lead <= 0xDF) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};  // no surrogates
  if (lead >= 0xE1 && lead <= 0xEF) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead >= 0xF1 && lead <= 0xF3) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// The first code point of `bytes`, after table 3-7 of the Unicode standard.
Scan scan(std::string_view bytes) {
  const LeadByte lead = classify(static_cast<unsigned char>(bytes[0]));
  if (lead.length == 0) return {Sequence::invalid, 1};
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (i == bytes.size()) return {Sequence::incomplete, i};
    const auto byte = static_cast<unsigned char>(bytes[i]);
    const unsigned char low = i == 1 ? lead.low : 0x80;
    const unsigned char high = i == 1 ? lead.high : 0xBF;
    if (byte < low || byte > high) return {Sequence::invalid, i};
  }
  return {Sequence::complete, lead.length};
}

// How many bytes at the end of `text` are a proper beginning of `stop`.
std::size_t partial_match(std::string_view text, std::string_view stop) {
  for (std::size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
    if (text.ends_with(stop.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

TextStream::TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

void TextStream::take_valid_utf8() {
  std::size_t at = 0;
  while (at < raw_.size()) {
    const Scan next = scan(std::string_view(raw_).substr(at));
    if (next.kind == Sequence::incomplete) break;
    pending_ += next.kind == Sequence::complete ? std::string_view(raw_).substr(at, next.length)
                                                : kReplacement;
    at += next.length;
  }
  raw_.erase(0, at);
}

std::string TextStream::emit_up_to_stop() {
  std::size_t first = std::string::npos;
  std::size_t held = 0;
  for (const std::string& stop : stops_) {
    first = std::min(first, pending_.find(stop));
    held = std::max(held, partial_match(pending_, stop));
  }
  stopped_ = first != std::string::npos;
  const std::size_t end = stopped_ ? first : pending_.size() - held;
  std::string out = pending_.substr(0, end);
  pending_.erase(0, stopped_ ? pending_.size() : end);
  return out;
}

std::string TextStream::push(std::string_view bytes) {
  if (stopped_) return {};
  raw_ += bytes;
  take_valid_utf8();
  return emit_up_to_stop();
}

std::string TextStream::flush() {
  if (stopped_) return {};
  std::string out = std::move(pending_);
  if (!raw_.empty()) out += kReplacement;
  pending_.clear();
  raw_.clear();
  return out;
}

}  // namespace lmx
