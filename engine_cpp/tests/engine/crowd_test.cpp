// Many threads at one engine that is too small for what they ask of it.
#include <atomic>
#include <map>
#include <thread>

#include "../check.hpp"
#include "../temp_dir.hpp"
#include "tiny_engine.hpp"

using namespace lmx;

namespace {

const std::vector<std::string> kModels = {"llama", "gemma3", "jamba"};

struct Question {
  Prompt prompt;
  tiny::Answer expected;
};

std::vector<Question> questions() {
  std::vector<Question> all;
  for (const std::string& kind : kModels) {
    Prompt prompt = tiny::prompt(kind, tiny::words(7, 90));
    prompt.mode = "deterministic";
    all.push_back({prompt, tiny::alone(prompt)});
  }
  return all;
}

// Does what users do, at random.
class Client {
 public:
  Client(Engine& engine, const std::vector<Question>& questions, unsigned number)
      : engine_(engine),
        questions_(questions),
        name_("client " + std::to_string(number)),
        chance_(number) {}

  void run(int actions) {
    for (int i = 0; i < actions; ++i) act();
  }

  int wrong = 0;

 private:
  void act() {
    switch (chance_() % 8) {
      case 0:
        return change_mind();
      case 1:
        return hurry();
      case 2:
        return go_away();
      case 3:
        return hold();
      case 4:
        return look();
      default:
        return ask();
    }
  }

  const Question& any_question() { return questions_[chance_() % questions_.size()]; }

  Prompt any_prompt() {
    Prompt prompt = tiny::prompt(kModels[chance_() % kModels.size()],
                                 tiny::words(static_cast<unsigned>(chance_()), 20));
    if (chance_() % 2 == 0) prompt.session = name_;
    return prompt;
  }

  void ask() {
    const Question& question = any_question();
    Prompt prompt = question.prompt;
    if (chance_() % 2 == 0) prompt.session = chance_() % 2 == 0 ? name_ : "shared";
    prompt.max_unread = 16;
    const auto request = engine_.submit(prompt);
    std::string text;
    for (;;) {
      const auto piece = request->next(tiny::kLong);
      if (!piece || piece->empty()) break;
      text += *piece;
    }
    const tiny::Answer found = tiny::answer(*request);
    if (found != question.expected || text != found.text) wrong += 1;
  }

  void change_mind() {
    Prompt prompt = any_prompt();
    prompt.max_tokens = 200;
    const auto request = engine_.submit(prompt);
    request->next(std::chrono::milliseconds(chance_() % 30));
    request->cancel();
    tiny::was_cancelled(*request);
  }

  void hurry() {
    Prompt prompt = any_prompt();
    prompt.max_tokens = 100;
    prompt.deadline_s = 0.001 * static_cast<double>(chance_() % 50);
    try {
      tiny::ask(engine_, prompt);
    } catch (const DeadlineExceeded&) {
    }
  }

  void go_away() {
    const auto request = engine_.submit(any_prompt());
    request->next(std::chrono::milliseconds(chance_() % 10));
  }

  void hold() {
    const bool held = !engine_.hold(name_, Bytes{1} << 20, HoldMode::now);
    const std::string path = tiny::model(kModels[chance_() % kModels.size()]);
    engine_.pin(path, true);
    engine_.snapshot();
    engine_.pin(path, false);
    if (held) engine_.release(name_);
  }

  void look() {
    const Snapshot now = engine_.snapshot();
    if (now.used > now.cap || now.host.used > now.host.cap) wrong += 1;
    ContextSpec spec;
    spec.n_ctx = 256;
    engine_.project({engine_.job("x", tiny::model("llama"), spec, false)});
    engine_.forget(name_);
  }

  Engine& engine_;
  const std::vector<Question>& questions_;
  const std::string name_;
  std::mt19937 chance_;
};

// The number of things that went wrong.
int crowd(Engine& engine, const std::vector<Question>& all, int actions) {
  std::vector<Client> clients;
  for (unsigned number = 1; number <= 4; ++number) clients.emplace_back(engine, all, number);
  {
    std::vector<std::jthread> threads;
    for (Client& client : clients) threads.emplace_back([&] { client.run(actions); });
  }
  int wrong = 0;
  for (const Client& client : clients) wrong += client.wrong;
  return wrong;
}

EngineOptions tight(const std::filesystem::path& spill_dir) {
  EngineOptions options = tiny::options();
  options.cap = tiny::needs("jamba") + tiny::needs("llama") / 2;
  options.spill_dir = spill_dir.string();
  options.spill_bytes = Bytes{4} << 20;
  return options;
}

}  // namespace

TEST("a crowd gets from a small engine the bits that each would get alone") {
  const check::TempDir dir;
  const std::vector<Question> all = questions();
  Engine engine(tight(dir.path()));
  CHECK(crowd(engine, all, 25) == 0);
  const Snapshot end = engine.snapshot();
  CHECK(end.totals.evictions > 0);
  CHECK(end.totals.swaps.out > 0);
  CHECK(end.totals.suspensions > 0);
}

TEST("an engine that takes over the files of another answers with the same bits") {
  const check::TempDir dir;
  const std::vector<Question> all = questions();
  for (int life = 0; life < 2; ++life) {
    Engine engine(tight(dir.path()));
    CHECK(crowd(engine, all, 8) == 0);
    engine.close();
  }
}

TEST("closing an engine ends all that it was doing") {
  const check::TempDir dir;
  std::vector<std::shared_ptr<Request>> requests;
  {
    Engine engine(tight(dir.path()));
    for (unsigned i = 0; i < 12; ++i) {
      Prompt prompt = tiny::prompt(kModels[i % kModels.size()], tiny::words(i, 40));
      prompt.max_tokens = 300;
      prompt.sampling.seed = i;
      requests.push_back(engine.submit(prompt));
    }
    requests.front()->next(tiny::kLong);
    std::jthread closer([&] { engine.close(); });
    engine.snapshot();
  }
  for (const auto& request : requests) {
    tiny::was_cancelled(*request);
    CHECK(request->done());
  }
}

TEST("engines come and go while others are at work in the same process") {
  const std::vector<Question> all = questions();
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < all.size(); ++i) {
      threads.emplace_back([&, i] {
        for (int life = 0; life < 3; ++life) {
          Engine engine(tiny::options());
          if (tiny::ask(engine, all[i].prompt) != all[i].expected) wrong += 1;
        }
      });
    }
  }
  CHECK(wrong == 0);
}
