// Engines on tiny models, which `python -m tests.support.tiny` writes into the folder that the
// environment variable LMX_TEST_MODELS names.
#pragma once

#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "lmx/base/errors.hpp"
#include "lmx/running/engine.hpp"

namespace tiny {

inline constexpr std::uint32_t kChunk = 128;
inline constexpr std::chrono::milliseconds kLong = std::chrono::minutes(5);

inline std::string model(const std::string& kind) {
  const char* folder = std::getenv("LMX_TEST_MODELS");
  if (folder == nullptr) {
    std::fprintf(stderr, "LMX_TEST_MODELS is not set: run this by `make test-sanitize`\n");
    std::exit(2);
  }
  return std::string(folder) + "/" + kind + ".gguf";
}

inline lmx::EngineOptions options() {
  lmx::EngineOptions options;
  options.device = "cpu";
  options.max_slots = 2;
  options.patience_s = 0.02;
  options.quantum_s = 0.01;
  options.host_bytes = lmx::Bytes{1} << 20;
  return options;
}

// About three tokens for each word.
inline std::string words(unsigned seed, int count) {
  static const std::vector<std::string> all = {"sea", "fog", "ship", "lamp", "rope"};
  std::mt19937 chance(seed);
  std::string text;
  for (int i = 0; i < count; ++i) text += all[chance() % all.size()] + " ";
  return text;
}

inline lmx::Prompt prompt(const std::string& kind, const std::string& text) {
  lmx::Prompt prompt;
  prompt.model = model(kind);
  prompt.text = text;
  prompt.max_tokens = 8;
  prompt.context.n_ctx = 512;
  prompt.context.n_ubatch = kChunk;
  prompt.sampling.seed = 3;
  prompt.logprobs = 0;
  return prompt;
}

// The bytes of one such context and of its weights.
inline lmx::Bytes needs(const std::string& kind) {
  const lmx::Prompt asked = prompt(kind, "");
  return lmx::estimator_for("cpu")->estimate(asked.model, asked.context).total();
}

// Text and log-probabilities: two are equal to the last bit, or not at all.
struct Answer {
  std::string text;
  std::vector<std::pair<llama_token, float>> bits;

  bool operator==(const Answer&) const = default;
};

inline Answer answer(lmx::Request& request) {
  const auto result = request.result(kLong);
  if (!result) throw lmx::Error("no result after minutes");
  Answer answer{result->text, {}};
  for (const auto& entry : result->logprobs) answer.bits.emplace_back(entry.token, entry.logprob);
  return answer;
}

inline Answer ask(lmx::Engine& engine, const lmx::Prompt& prompt) {
  return answer(*engine.submit(prompt));
}

// What an engine that does nothing else answers.
inline Answer alone(const lmx::Prompt& prompt) {
  lmx::EngineOptions plain;
  plain.device = "cpu";
  plain.max_slots = 1;
  lmx::Engine engine(plain);
  return ask(engine, prompt);
}

// Whether it ended by being cancelled.
inline bool was_cancelled(lmx::Request& request) {
  try {
    return !request.result(kLong).has_value();
  } catch (const lmx::Cancelled&) {
    return true;
  }
}

}  // namespace tiny
