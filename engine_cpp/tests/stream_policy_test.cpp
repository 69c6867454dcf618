#include "lmx/streaming/stream_policy.hpp"

#include "check.hpp"

using namespace lmx;

namespace {

const LayerSizes kModel{.fixed = 100, .layers = {10, 30, 20, 40}, .slot = 40};

using Contexts = std::vector<ContextChoice>;

constexpr StreamDemand kOne{};
constexpr StreamDemand kFour{.sequences = 4};

}  // namespace

TEST("a model is streamed unless that is switched off or impossible") {
  CHECK(stream_needs(kModel, {}).has_value());
  CHECK(!stream_needs(kModel, {.mode = StreamingMode::off}));
  CHECK(!stream_needs({.fixed = 100, .refusal = "no"}, {}));
}

TEST("what the planner is told is enough for whichever layers stay") {
  const auto needs = stream_needs(kModel, {});
  CHECK(needs->layer_bytes == std::vector<Bytes>{40, 30, 20, 10});
  CHECK(needs->fixed_bytes == 100 && needs->slot_bytes == 40 && needs->host_bytes == 100);
  CHECK(needs->max_layers == 3 && !needs->forced);
  Bytes told = needs->fixed_bytes;
  for (std::uint32_t n = 0; n < 4; ++n) {
    CHECK(plan_streaming(kModel, n).weight_bytes <= told);
    told += needs->layer_bytes[n];
  }
}

TEST("a given number of resident layers is kept to") {
  const StreamPolicy policy{.mode = StreamingMode::always, .resident_layers = 2};
  const auto needs = stream_needs(kModel, policy);
  CHECK(needs->forced && needs->min_layers == 2 && needs->max_layers == 2);
  CHECK(needs->host_bytes == plan_streaming(kModel, 2).host_bytes);
  const auto choices = streamed_choices(kModel, policy, {{1, 512, 0}}, kOne, 1000, 1000);
  CHECK(choices.size() == 1 && choices[0].plan.resident == 2);
}

TEST("a sequence more is worth a layer more to stream") {
  const LayerSizes model{.fixed = 0, .layers = std::vector<Bytes>(10, 10), .slot = 10};
  const Contexts contexts = {{1, 512, 10}, {2, 512, 20}, {4, 512, 40}};
  const auto choices = streamed_choices(model, {}, contexts, kFour, 80, 1000);
  CHECK(choices.size() == 3);
  CHECK(choices[0].context.n_seq == 4 && choices[0].plan.resident == 2);
  CHECK(choices[2].context.n_seq == 1 && choices[2].plan.resident == 5);
}

TEST("nobody is made to wait for sequences that nobody expects") {
  const LayerSizes model{.fixed = 0, .layers = std::vector<Bytes>(10, 10), .slot = 10};
  const auto choices = streamed_choices(model, {}, {{1, 512, 10}, {4, 512, 40}}, kOne, 80, 1000);
  CHECK(choices[0].context.n_seq == 1);
}

TEST("only what fits is a choice") {
  CHECK(streamed_choices(kModel, {}, {{1, 512, 10}}, kOne, 189, 1000).empty());
  CHECK(streamed_choices(kModel, {}, {{1, 512, 10}}, kOne, 190, 99).empty());
  const auto fits =
      streamed_choices(kModel, {}, {{1, 512, 10}, {2, 512, 20}}, {.sequences = 2}, 190, 100);
  CHECK(fits.size() == 1 && fits[0].context.n_seq == 1 && fits[0].plan.resident == 0);
}

TEST("a long prompt is worth a larger batch, a short one is not") {
  const LayerSizes model{.fixed = 0, .layers = std::vector<Bytes>(10, 10), .slot = 10};
  const Contexts contexts = {{1, 512, 10}, {1, 2048, 20}};
  const auto best = [&](std::uint32_t prompt, std::uint32_t completion) {
    const StreamDemand demand{.prompt = prompt, .completion = completion};
    return streamed_choices(model, {}, contexts, demand, 80, 1000)[0].context.n_batch;
  };
  CHECK(best(2000, 2) == 2048);
  CHECK(best(2000, 200) == 512);
  CHECK(best(100, 2) == 512);
}

TEST("room is for layers, until all of them are there") {
  const LayerSizes model{.fixed = 10, .layers = std::vector<Bytes>(10, 10), .slot = 10};
  CHECK(streamed_within(model, {}, 29, 99) == 99);
  CHECK(streamed_within(model, {}, 30, 99) == 100);
  CHECK(streamed_within(model, {}, 80, 99) == 50);
  CHECK(streamed_within(model, {}, 110, 99) == 0);
  CHECK(streamed_within(model, {.mode = StreamingMode::always}, 110, 99) == 10);
}
