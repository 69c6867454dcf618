// Texts held to a grammar, vectors of texts, and files that are no models.
#include <atomic>
#include <cmath>
#include <fstream>
#include <thread>

#include "../check.hpp"
#include "../temp_dir.hpp"
#include "tiny_engine.hpp"

using namespace lmx;

namespace {

bool is_answer(const std::string& text) {
  return text == "yes" || text == "no";
}

double length_of(const std::vector<float>& vector) {
  double sum = 0;
  for (float value : vector) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

}  // namespace

TEST("texts held to a grammar and free ones share a context, whoever is cancelled") {
  const Grammar grammar(parse_gbnf(R"(root ::= "yes" | "no")"));
  Engine engine(tiny::options());
  std::vector<std::jthread> threads;
  std::atomic<int> wrong = 0;
  for (unsigned number = 0; number < 3; ++number) {
    threads.emplace_back([&, number] {
      for (unsigned i = 0; i < 5; ++i) {
        Prompt prompt = tiny::prompt("llama", tiny::words(number * 10 + i, 20));
        prompt.sampling.seed = i;
        prompt.logprobs = 3;
        Prompt held = prompt;
        held.constraint = Constraint(grammar, {});
        const auto free = engine.submit(prompt);
        if (!is_answer(tiny::ask(engine, held).text)) wrong += 1;
        if (i % 2 == 0) free->cancel();
        tiny::was_cancelled(*free);
      }
    });
  }
  threads.clear();
  CHECK(wrong == 0);
}

TEST("texts are turned into vectors beside others that are generated") {
  Engine engine(tiny::options());
  const auto stream = engine.submit(tiny::prompt("llama", tiny::words(1, 30)));
  std::vector<std::shared_ptr<Request>> requests;
  for (unsigned i = 0; i < 6; ++i) {
    Prompt prompt = tiny::prompt("llama", tiny::words(i, 10));
    prompt.logprobs.reset();
    prompt.context.pooling = "mean";
    requests.push_back(engine.submit(prompt));
  }
  for (const auto& request : requests) {
    CHECK(length_of(request->result(tiny::kLong)->embedding) > 0);
  }
  CHECK(!tiny::answer(*stream).text.empty());
}

TEST("a file that is no model is refused, and disturbs nobody") {
  const check::TempDir dir;
  const std::string path = (dir.path() / "broken.gguf").string();
  std::ofstream(path) << "GGUF" << std::string(100, '\1');
  Engine engine(tiny::options());
  const auto running = engine.submit(tiny::prompt("llama", tiny::words(1, 30)));
  Prompt broken = tiny::prompt("llama", "sea");
  broken.model = path;
  bool refused = false;
  try {
    engine.submit(broken);
  } catch (const ModelFileError&) {
    refused = true;
  }
  CHECK(refused);
  CHECK(!tiny::answer(*running).text.empty());
}
