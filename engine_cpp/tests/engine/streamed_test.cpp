// Layers that pass through slots, with several threads asking.
#include <thread>

#include "../check.hpp"
#include "tiny_engine.hpp"

using namespace lmx;

namespace {

EngineOptions streaming() {
  EngineOptions options = tiny::options();
  options.host_bytes = Bytes{16} << 20;
  options.streaming.mode = StreamingMode::always;
  options.streaming.resident_layers = 1;
  options.copies.poison = true;
  return options;
}

Prompt exact(const std::string& kind) {
  Prompt prompt = tiny::prompt(kind, tiny::words(7, 90));
  prompt.mode = "deterministic";
  return prompt;
}

}  // namespace

TEST("a streamed model has the bits of a resident one, whatever is cancelled beside it") {
  for (const std::string kind : {"llama", "gemma3", "jamba"}) {
    const Prompt prompt = exact(kind);
    const tiny::Answer expected = tiny::alone(prompt);
    Engine engine(streaming());
    std::vector<std::jthread> threads;
    for (unsigned number = 0; number < 2; ++number) {
      threads.emplace_back([&, number] {
        for (unsigned i = 0; i < 6; ++i) {
          Prompt other = tiny::prompt(kind, tiny::words(10 * number + i, 60));
          other.max_tokens = 100;
          other.context.n_ctx = i % 2 == 0 ? 512 : 768;  // made while the first one decodes
          const auto request = engine.submit(other);
          request->next(std::chrono::milliseconds(i * 5));
          request->cancel();
          tiny::was_cancelled(*request);
        }
      });
    }
    for (int i = 0; i < 4; ++i) CHECK(tiny::ask(engine, prompt) == expected);
    threads.clear();
    const Snapshot end = engine.snapshot();
    CHECK(end.totals.streamed_bytes > 0);
    CHECK(end.models.size() == 1 && end.models[0].streaming->resident == 1);
  }
}

TEST("an engine may be closed in the middle of a pass") {
  for (int i = 0; i < 5; ++i) {
    EngineOptions options = streaming();
    options.copies.bytes_per_s = 50e6;
    Engine engine(options);
    Prompt prompt = exact("llama");
    prompt.max_tokens = 300;
    const auto request = engine.submit(prompt);
    request->next(std::chrono::milliseconds(i * 10));
    engine.close();
    CHECK(request->done());
  }
}
