#include "lmx/base/log.hpp"

#include <deque>
#include <mutex>

#include "llama.h"

namespace lmx {
namespace {

constexpr std::size_t kKeptLines = 2000;

struct Sink {
  std::mutex mutex;
  std::deque<LogLine> lines;
  LogLine partial;  // the library prints some lines in pieces
};

// Never destroyed: the library may log while the process is ending.
Sink& sink() {
  static Sink* instance = new Sink;
  return *instance;
}

thread_local ErrorCapture* t_capture = nullptr;

LogLevel level_of(ggml_log_level level) {
  switch (level) {
    case GGML_LOG_LEVEL_ERROR:
      return LogLevel::error;
    case GGML_LOG_LEVEL_WARN:
      return LogLevel::warning;
    case GGML_LOG_LEVEL_INFO:
      return LogLevel::info;
    default:
      return LogLevel::debug;
  }
}

void append(Sink& target, LogLine line) {
  if (target.lines.size() == kKeptLines) target.lines.pop_front();
  target.lines.push_back(std::move(line));
}

void on_log(ggml_log_level level, const char* text, void*) {
  std::string piece = text;
  if (level == GGML_LOG_LEVEL_ERROR && t_capture != nullptr) t_capture->add(piece);
  Sink& target = sink();
  const std::lock_guard lock(target.mutex);
  if (level != GGML_LOG_LEVEL_CONT) target.partial.level = level_of(level);
  target.partial.text += piece;
  if (!target.partial.text.ends_with('\n')) return;
  target.partial.text.pop_back();
  if (!target.partial.text.empty()) append(target, std::move(target.partial));
  target.partial = {};
}

// "llama_model_load: error loading model: X\n" says no more to a user than "X".
std::string without_prefixes(std::string line) {
  while (line.ends_with('\n')) line.pop_back();
  const std::string marker = "error loading model: ";
  if (const auto at = line.rfind(marker); at != std::string::npos) {
    return line.substr(at + marker.size());
  }
  const auto colon = line.find(": ");
  const bool names_a_function = colon != std::string::npos && line.find(' ') > colon;
  return names_a_function ? line.substr(colon + 2) : line;
}

}  // namespace

void capture_logs() {
  llama_log_set(on_log, nullptr);  // sets ggml's as well
}

void log_line(LogLevel level, std::string text) {
  Sink& target = sink();
  const std::lock_guard lock(target.mutex);
  append(target, {level, std::move(text)});
}

std::vector<LogLine> drain_logs() {
  Sink& target = sink();
  const std::lock_guard lock(target.mutex);
  std::vector<LogLine> lines(target.lines.begin(), target.lines.end());
  target.lines.clear();
  return lines;
}

ErrorCapture::ErrorCapture() : outer_(t_capture) {
  t_capture = this;
}

ErrorCapture::~ErrorCapture() {
  t_capture = outer_;
}

std::string ErrorCapture::reason(const std::string& fallback) const {
  // The first line is nearest to the cause; the later ones only pass it on.
  for (const std::string& line : lines_) {
    std::string text = without_prefixes(line);
    if (!text.empty()) return text;
  }
  return fallback;
}

}  // namespace lmx
