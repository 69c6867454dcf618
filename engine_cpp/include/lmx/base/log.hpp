// llama.cpp's log lines: kept for the caller to collect, never printed.
#pragma once

#include <string>
#include <vector>

namespace lmx {

enum class LogLevel { debug, info, warning, error };

struct LogLine {
  LogLevel level = LogLevel::info;
  std::string text;
};

// Takes over the log of libllama and ggml for this process. Idempotent.
void capture_logs();

// The lines since the last call, oldest first; when too many came, the oldest are gone.
std::vector<LogLine> drain_logs();

// Adds a line of the engine's own.
void log_line(LogLevel level, std::string text);

// While it lives, also remembers the error lines that its own thread logs: the reason why a call
// into the library failed, which the library tells in no other way.
class ErrorCapture {
 public:
  ErrorCapture();
  ~ErrorCapture();
  ErrorCapture(const ErrorCapture&) = delete;
  ErrorCapture& operator=(const ErrorCapture&) = delete;

  // The most telling line, or `fallback` when there was none.
  std::string reason(const std::string& fallback) const;

  void add(const std::string& line) { lines_.push_back(line); }

 private:
  std::vector<std::string> lines_;
  ErrorCapture* outer_;
};

}  // namespace lmx
