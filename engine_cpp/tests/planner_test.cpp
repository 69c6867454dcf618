#include "lmx/memory/planner.hpp"

#include "check.hpp"

using namespace lmx;

namespace {

using Ids = std::vector<std::string>;

Job job(std::string id, std::string model, Bytes weights, Bytes context) {
  return {.id = std::move(id),
          .weights = {{std::move(model), weights}},
          .context = "k",
          .context_bytes = context};
}

Resident weights(std::string id, Bytes bytes, double idle_s = 0, double reload_s = 1) {
  return {.id = std::move(id), .bytes = bytes, .idle_s = idle_s, .reload_s = reload_s};
}

Resident context(std::string id, std::string model, Bytes bytes, bool running,
                 std::uint32_t free_slots = 0) {
  return {.id = std::move(id),
          .upon = {std::move(model)},
          .serves = "k",
          .bytes = bytes,
          .running = running,
          .reload_s = 0.1,
          .free_slots = free_slots};
}

Ids order(const std::vector<Decision>& decisions) {
  Ids ids;
  for (const Decision& decision : in_turn(decisions)) ids.push_back(decision.job);
  return ids;
}

}  // namespace

TEST("an empty device takes what fits and refuses what never will") {
  const auto decisions = plan({100, 0}, {}, {job("1", "a", 60, 30), job("2", "b", 90, 11)});
  CHECK(decisions[0].verdict == Verdict::now && decisions[0].missing == 90);
  CHECK(decisions[1].verdict == Verdict::never && decisions[1].needs == 101);
  CHECK(decisions[1].cap == 100 && decisions[1].free == 10);
}

TEST("jobs of one model share its weights") {
  const auto decisions = plan({100, 0}, {}, {job("1", "a", 60, 20), job("2", "a", 60, 20)});
  CHECK(decisions[0].missing == 80 && decisions[1].missing == 20);
  CHECK(decisions[1].verdict == Verdict::now);
}

TEST("a free slot of a context of the same kind costs nothing") {
  const auto decisions = plan({100, 95}, {weights("a", 60), context("c", "a", 35, true, 1)},
                              {job("1", "a", 60, 35), job("2", "a", 60, 35)});
  CHECK(decisions[0].verdict == Verdict::now && decisions[0].missing == 0);
  CHECK(decisions[1].verdict == Verdict::wait);
}

TEST("idle weights are evicted, their contexts before them") {
  const auto decisions =
      plan({100, 80}, {weights("a", 60), context("c", "a", 20, false)}, {job("1", "b", 90, 5)});
  CHECK(decisions[0].verdict == Verdict::after_eviction);
  CHECK(decisions[0].evict == Ids({"c", "a"}));
}

TEST("what is cheap to bring back goes first, and no more than is needed") {
  const auto decisions = plan({100, 90}, {weights("dear", 45, 10, 60), weights("cheap", 45, 10, 1)},
                              {job("1", "b", 30, 10)});
  CHECK(decisions[0].evict == Ids({"cheap"}));
}

TEST("a small resident is spared when a larger one has to go anyway") {
  const auto decisions = plan({100, 90}, {weights("small", 10, 100, 1), weights("large", 80, 0, 1)},
                              {job("1", "b", 60, 20)});
  CHECK(decisions[0].evict == Ids({"large"}));
}

TEST("what runs or is pinned is never evicted") {
  Resident pinned = weights("p", 30);
  pinned.pinned = true;
  const auto decisions = plan({100, 100}, {weights("a", 50), context("c", "a", 20, true), pinned},
                              {job("1", "b", 40, 0)});
  CHECK(decisions[0].verdict == Verdict::wait && decisions[0].evict.empty());
}

TEST("a job does not evict the weights it needs itself") {
  const auto decisions =
      plan({100, 90}, {weights("a", 60), context("old", "a", 30, false)}, {job("1", "a", 60, 40)});
  CHECK(decisions[0].verdict == Verdict::after_eviction);
  CHECK(decisions[0].evict == Ids({"old"}));
}

TEST("a later job cannot evict what an earlier one has just been given") {
  const auto decisions =
      plan({100, 60}, {weights("a", 60)}, {job("1", "a", 60, 30), job("2", "b", 60, 30)});
  CHECK(decisions[0].verdict == Verdict::now);
  CHECK(decisions[1].verdict == Verdict::wait);
}

TEST("a young waiting job may be overtaken, an aged one may not") {
  const std::vector<Resident> residents = {weights("a", 50), context("c", "a", 10, true)};
  std::vector<Job> jobs = {job("large", "b", 70, 10), job("small", "c", 10, 10)};
  CHECK(plan({100, 60}, residents, jobs)[1].verdict == Verdict::now);
  jobs[0].aged = true;
  CHECK(plan({100, 60}, residents, jobs)[1].verdict == Verdict::wait);
}

TEST("an aged job that waits for others than running work holds nobody up") {
  std::vector<Job> jobs = {job("large", "b", 70, 10), job("small", "c", 10, 10)};
  jobs[0].aged = true;
  const auto decisions = plan({100, 60}, {}, jobs);  // 60 bytes are foreign
  CHECK(decisions[0].verdict == Verdict::wait);
  CHECK(decisions[1].verdict == Verdict::now);
}

TEST("bytes over the cap must be freed as well") {
  const auto decisions =
      plan({100, 120}, {weights("a", 60), weights("b", 60)}, {job("1", "c", 50, 0)});
  CHECK(decisions[0].verdict == Verdict::after_eviction && decisions[0].evict.size() == 2);
}

TEST("needs that overflow never fit") {
  const auto decisions = plan({kMaxBytes - 1, 0}, {}, {job("1", "a", kMaxBytes, kMaxBytes)});
  CHECK(decisions[0].verdict == Verdict::never && decisions[0].needs == kMaxBytes);
}

TEST("jobs of one model start together, in the order of the first of each") {
  std::vector<Job> jobs;
  for (const char* id : {"a1", "b1", "c1", "a2", "b2", "c2"}) {
    jobs.push_back(job(id, std::string(1, id[0]), 60, 10));
  }
  CHECK(order(plan({100, 0}, {}, jobs)) == Ids({"a1", "a2", "b1", "b2", "c1", "c2"}));
  for (Job& waiting : jobs) waiting.aged = true;
  CHECK(order(plan({100, 0}, {}, jobs)) == Ids({"a1", "a2", "b1", "b2", "c1", "c2"}));
}

TEST("a job of a resident model goes before one that would evict it, until that one is aged") {
  std::vector<Job> jobs = {job("c1", "c", 60, 30), job("a1", "a", 60, 30)};
  auto decisions = plan({100, 60}, {weights("a", 60)}, jobs);
  CHECK(order(decisions) == Ids({"a1", "c1"}));
  CHECK(decisions[1].verdict == Verdict::now && decisions[0].verdict == Verdict::wait);
  jobs[0].aged = true;
  decisions = plan({100, 60}, {weights("a", 60)}, jobs);
  CHECK(order(decisions) == Ids({"c1", "a1"}));
  CHECK(decisions[0].verdict == Verdict::after_eviction && decisions[0].evict == Ids({"a"}));
}

TEST("what another waiting job wants is kept if something of the same worth can go") {
  const std::vector<Job> jobs = {job("1", "c", 30, 10), job("2", "a", 45, 40)};
  std::vector<Job> aged = jobs;
  aged[0].aged = true;
  const auto decisions = plan({100, 90}, {weights("a", 45, 10, 1), weights("b", 45, 10, 1)}, aged);
  CHECK(decisions[0].evict == Ids({"b"}));
}

TEST("a job may need several weights, and a context upon all of them") {
  Job speculative = job("1", "a", 50, 10);
  speculative.weights.push_back({"draft", 20});
  auto decisions = plan({100, 0}, {}, {speculative, job("2", "draft", 20, 10)});
  CHECK(decisions[0].missing == 80 && decisions[0].needs == 80);
  CHECK(decisions[1].verdict == Verdict::now && decisions[1].missing == 10);

  Resident running = context("c", "a", 10, true, 1);
  running.upon.push_back("draft");
  const std::vector<Resident> residents = {weights("a", 50), weights("draft", 20), running};
  decisions = plan({100, 80}, residents, {speculative, job("2", "b", 40, 0)});
  CHECK(decisions[0].verdict == Verdict::now && decisions[0].missing == 0);
  CHECK(decisions[1].verdict == Verdict::wait);  // the draft model is in use as well
  CHECK(plan({100, 80}, residents, {job("3", "a", 50, 10)})[0].missing == 10);
}
