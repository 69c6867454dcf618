// The planner's answers for models whose layers can be streamed.
#include "check.hpp"
#include "lmx/memory/planner.hpp"

using namespace lmx;

namespace {

using Ids = std::vector<std::string>;

// 10 fixed bytes, ten layers of 10, slots of 10: 110 bytes in all, and a context of 20.
Job large(std::string id = "1") {
  return {.id = std::move(id),
          .weights = {{"large", 110}},
          .context = "k",
          .context_bytes = 20,
          .stream = StreamNeeds{.fixed_bytes = 10,
                                .layer_bytes = std::vector<Bytes>(10, 10),
                                .slot_bytes = 10,
                                .host_bytes = 100}};
}

Resident idle(std::string id, Bytes bytes) {
  return {.id = std::move(id), .bytes = bytes, .reload_s = 1};
}

Resident running(std::string id, std::string model, Bytes bytes) {
  return {.id = std::move(id),
          .upon = {std::move(model)},
          .serves = "k",
          .bytes = bytes,
          .running = true};
}

constexpr Capacity device(Bytes cap, Bytes used = 0) {
  return {.cap = cap, .used = used, .host_cap = 200, .host_used = 0};
}

}  // namespace

TEST("a model larger than the cap is streamed with as many resident layers as fit") {
  const Decision d = plan(device(100), {}, {large()})[0];
  CHECK(d.verdict == Verdict::streamed && starts(d.verdict));
  CHECK(d.resident_layers == 5 && d.slots == 2);
  CHECK(d.missing == 10 + 5 * 10 + 2 * 10 + 20 && d.needs == 130);
}

TEST("a model that would fit whole is not streamed, but waits") {
  const Decision d = plan(device(130, 60), {idle("b", 50), running("c", "b", 10)}, {large()})[0];
  CHECK(d.verdict == Verdict::wait);
}

TEST("streaming that is forced leaves at least one layer to stream") {
  Job job = large();
  job.stream->forced = true;
  const Decision d = plan(device(1000), {}, {job})[0];
  CHECK(d.verdict == Verdict::streamed && d.resident_layers == 9 && d.slots == 1);
  job.stream->max_layers = 3;
  CHECK(plan(device(1000), {}, {job})[0].resident_layers == 3);
}

TEST("everything idle makes room for layers, nothing that runs does") {
  const std::vector<Resident> residents = {idle("b", 20), idle("a", 10), running("c", "a", 10)};
  const Decision d = plan(device(100, 40), residents, {large()})[0];
  CHECK(d.verdict == Verdict::streamed && d.evict == Ids({"b"}));
  CHECK(d.resident_layers == 3 && d.missing == 80);
}

TEST("no more is evicted than one more layer needs") {
  const Decision d = plan(device(100, 13), {idle("b", 10), idle("tiny", 3)}, {large()})[0];
  CHECK(d.resident_layers == 5 && d.evict == Ids({"b", "tiny"}));
  CHECK(plan(device(103, 13), {idle("b", 10), idle("tiny", 3)}, {large()})[0].evict == Ids({"b"}));
}

TEST("with less than the fewest layers it waits for running work, and blocks when aged") {
  Job job = large();
  job.stream->min_layers = 4;
  job.aged = true;
  Job small = {.id = "2", .weights = {{"small", 5}}, .context = "k", .context_bytes = 5};
  const std::vector<Resident> residents = {idle("a", 10), running("c", "a", 10)};
  const auto decisions = plan(device(100, 20), residents, {job, small});
  CHECK(decisions[0].verdict == Verdict::wait && decisions[1].verdict == Verdict::wait);
  job.stream->min_layers = 3;
  CHECK(plan(device(100, 20), residents, {job})[0].verdict == Verdict::streamed);
}

TEST("what does not even fit streamed never fits") {
  CHECK(plan(device(50), {}, {large()})[0].verdict == Verdict::streamed);
  CHECK(plan(device(49), {}, {large()})[0].verdict == Verdict::never);
  Job job = large();
  job.stream->host_bytes = 201;
  CHECK(plan(device(100), {}, {job})[0].verdict == Verdict::never);
  job.stream->layer_bytes.clear();
  CHECK(plan(device(100), {}, {job})[0].verdict == Verdict::never);
}

TEST("host memory that is taken makes it wait, that of an idle streamed model can be had") {
  Capacity capacity = device(100, 50);
  capacity.host_used = 150;
  Resident other = idle("other", 50);
  CHECK(plan(capacity, {other}, {large()})[0].verdict == Verdict::wait);
  other.host_bytes = 150;
  const Decision d = plan(capacity, {other}, {large()})[0];
  CHECK(d.verdict == Verdict::streamed && d.evict == Ids({"other"}));
}

TEST("a second context joins weights that are streamed already") {
  const std::vector<Resident> residents = {idle("large", 60), running("c", "large", 20)};
  const Decision d = plan(device(100, 80), residents, {large()})[0];
  CHECK(d.verdict == Verdict::now && d.missing == 20);
}

TEST("an idle streamed model gives up layers for a larger context, a running one does not") {
  std::vector<Resident> residents = {idle("large", 80), running("c", "large", 20)};
  residents[1].serves = "other";
  CHECK(plan(device(100, 100), residents, {large()})[0].verdict == Verdict::wait);
  residents[1].running = false;
  Job job = large();
  job.context_bytes = 40;
  const Decision d = plan(device(100, 100), residents, {job})[0];
  CHECK(d.verdict == Verdict::streamed && d.evict == Ids({"c", "large"}));
  CHECK(d.resident_layers == 3 && d.missing == 100);
}

TEST("layers of unlike sizes become resident in the order that was given") {
  Job job = large();
  job.stream->layer_bytes = {10, 10, 30, 10, 30, 30};
  job.stream->slot_bytes = 30;
  job.weights[0].bytes = 130;
  const Decision d = plan(device(115), {}, {job})[0];  // 85 beside fixed bytes and context
  CHECK(d.resident_layers == 2 && d.missing == 10 + 20 + 60 + 20);
}

TEST("streamed needs that overflow never fit") {
  Job job = large();
  job.weights[0].bytes = kMaxBytes;
  job.stream->slot_bytes = kMaxBytes;
  CHECK(plan(device(kMaxBytes - 1), {}, {job})[0].verdict == Verdict::never);
}
