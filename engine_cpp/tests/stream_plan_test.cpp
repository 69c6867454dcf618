#include "lmx/streaming/stream_plan.hpp"

#include "check.hpp"

using namespace lmx;

namespace {

using Layers = std::vector<std::uint32_t>;

LayerSizes equal_layers(std::size_t count, Bytes layer = 10, Bytes fixed = 100) {
  return {.fixed = fixed, .layers = std::vector<Bytes>(count, layer), .slot = layer};
}

}  // namespace

TEST("streamed layers are spread evenly and the last layer is one of them") {
  CHECK(plan_streaming(equal_layers(8), 4).streamed == Layers{1, 3, 5, 7});
  CHECK(plan_streaming(equal_layers(8), 6).streamed == Layers{3, 7});
  CHECK(plan_streaming(equal_layers(5), 2).streamed == Layers{1, 3, 4});
  CHECK(plan_streaming(equal_layers(3), 0).streamed == Layers{0, 1, 2});
}

TEST("every byte of a streamed model is counted once, on the device or in host memory") {
  const LayerSizes needs{.fixed = 100, .layers = {10, 20, 30, 40}, .slot = 40};
  CHECK(needs.whole() == 200);
  const StreamPlan plan = plan_streaming(needs, 1);
  CHECK(plan.streamed == Layers{1, 2, 3});
  CHECK(plan.weight_bytes == 110 && plan.host_bytes == 90 && plan.slot_bytes == 80);
  CHECK(plan.device_bytes() == 190);
}

TEST("with all layers resident there are no slots") {
  const StreamPlan plan = plan_streaming(equal_layers(4), 9);
  CHECK(plan.resident == 4 && plan.slots == 0 && plan.streamed.empty());
  CHECK(plan.device_bytes() == equal_layers(4).whole());
}

TEST("there are no more slots than streamed layers") {
  CHECK(plan_streaming(equal_layers(4), 3, 3).slots == 1);
  CHECK(plan_streaming(equal_layers(4), 0, 0).slots == 1);
}

TEST("layers that follow each other have different slots, across the end of a pass too") {
  CHECK(plan_streaming(equal_layers(4), 0, 2).slot_of == Layers{0, 1, 0, 1});
  CHECK(plan_streaming(equal_layers(4), 0, 3).slot_of == Layers{0, 1, 2, 1});
  CHECK(plan_streaming(equal_layers(5), 0, 3).slot_of == Layers{0, 1, 2, 0, 1});
}

TEST("as many layers stay as fit, and not a byte more is taken") {
  const LayerSizes needs = equal_layers(8);
  CHECK(fit_streaming(needs, 180)->resident == 8);
  const auto plan = fit_streaming(needs, 179);
  CHECK(plan->resident == 5 && plan->device_bytes() == 170);
  CHECK(fit_streaming(needs, 120)->resident == 0);
  CHECK(!fit_streaming(needs, 119));
}

TEST("a model that cannot be streamed has no plan") {
  LayerSizes needs = equal_layers(8);
  needs.refusal = "its layers cannot be told apart";
  CHECK(!fit_streaming(needs, 1000));
  CHECK(!fit_streaming(LayerSizes{.fixed = 10}, 1000));
}
