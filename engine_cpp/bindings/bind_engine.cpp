// The engine and its requests. Whatever may wait does so without the interpreter lock, and wakes
// now and then so that Ctrl-C is noticed.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "bindings.hpp"
#include "lmx/base/errors.hpp"
#include "lmx/running/engine.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lmx {
namespace {

constexpr auto kSignalCheck = std::chrono::milliseconds(100);

// Calls `wait(slice)` until it answers or `timeout` (seconds, none is forever) has passed.
template <typename Wait>
auto wait_interruptibly(std::optional<double> timeout, Wait wait) -> decltype(wait(kSignalCheck)) {
  using Milliseconds = std::chrono::milliseconds;
  const auto began = Clock::now();
  for (;;) {
    Milliseconds slice = kSignalCheck;
    if (timeout) {
      const double left = *timeout - seconds_between(began, Clock::now());
      const auto left_ms = Milliseconds(static_cast<std::int64_t>(std::max(left, 0.0) * 1000) + 1);
      slice = left > 0 ? std::min(slice, left_ms) : Milliseconds(0);
    }
    {
      nb::gil_scoped_release release;
      if (auto answer = wait(slice)) return answer;
    }
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (timeout && seconds_between(began, Clock::now()) >= *timeout) return std::nullopt;
  }
}

HoldMode hold_mode_of(const std::string& name) {
  if (name == "now") return HoldMode::now;
  if (name == "wait") return HoldMode::wait;
  if (name == "fact") return HoldMode::fact;
  throw InvalidRequest("a hold is taken 'now', by 'wait' or as a 'fact', not '" + name + "'");
}

// Who else is on the device: name, bytes, and the hold that it runs under or "".
using Outsiders = std::vector<std::tuple<std::string, Bytes, std::string>>;

Sighting sighting_of(std::optional<Bytes> own, const std::optional<Outsiders>& others) {
  Sighting sighting{.own = own};
  if (!others) return sighting;
  sighting.others.emplace();
  for (const auto& [name, bytes, hold] : *others) sighting.others->push_back({name, bytes, hold});
  return sighting;
}

nb::dict snapshot(Engine& engine) {
  Snapshot s;
  {
    nb::gil_scoped_release release;
    s = engine.snapshot();
  }
  return to_dict(s);
}

void bind_request(nb::module_& module) {
  nb::class_<TokenLogprob>(module, "TokenLogprob")
      .def_ro("token", &TokenLogprob::token)
      .def_prop_ro(
          "bytes",
          [](const TokenLogprob& self) { return nb::bytes(self.bytes.data(), self.bytes.size()); })
      .def_ro("logprob", &TokenLogprob::logprob)
      .def_ro("top", &TokenLogprob::top);

  nb::class_<Result>(module, "Result")
      .def_ro("text", &Result::text)
      .def_ro("finish_reason", &Result::finish_reason)
      .def_ro("prompt_tokens", &Result::prompt_tokens)
      .def_ro("cached_tokens", &Result::cached_tokens)
      .def_ro("completion_tokens", &Result::completion_tokens)
      .def_ro("wait_s", &Result::wait_s)
      .def_ro("load_s", &Result::load_s)
      .def_ro("prefill_s", &Result::prefill_s)
      .def_ro("decode_s", &Result::decode_s)
      .def_ro("seed", &Result::seed)
      .def_ro("logprobs", &Result::logprobs)
      .def_ro("embedding", &Result::embedding);

  nb::class_<Request>(module, "Request")
      .def_prop_ro("id", [](const Request& self) { return self.spec().id; })
      .def_prop_ro("done", &Request::done)
      .def_prop_ro("phase", [](const Request& self) { return phase_name(self.progress().phase); })
      .def("cancel", &Request::cancel)
      .def(
          "next",
          [](const std::shared_ptr<Request>& self, std::optional<double> timeout) {
            return wait_interruptibly(timeout, [&](auto slice) { return self->next(slice); });
          },
          "timeout"_a.none(), "The text since the last call, '' at the end, None on timeout.")
      .def(
          "result",
          [](const std::shared_ptr<Request>& self, std::optional<double> timeout) {
            return wait_interruptibly(timeout, [&](auto slice) { return self->result(slice); });
          },
          "timeout"_a.none());
}

void bind_sampling(nb::module_& module) {
  nb::class_<Sampling>(module, "Sampling")
      .def(nb::init<>())
      .def_rw("temperature", &Sampling::temperature)
      .def_rw("top_k", &Sampling::top_k)
      .def_rw("top_p", &Sampling::top_p)
      .def_rw("min_p", &Sampling::min_p)
      .def_rw("typical_p", &Sampling::typical_p)
      .def_rw("top_n_sigma", &Sampling::top_n_sigma)
      .def_rw("xtc_probability", &Sampling::xtc_probability)
      .def_rw("xtc_threshold", &Sampling::xtc_threshold)
      .def_rw("dry_multiplier", &Sampling::dry_multiplier)
      .def_rw("dry_base", &Sampling::dry_base)
      .def_rw("dry_allowed_length", &Sampling::dry_allowed_length)
      .def_rw("dry_penalty_last_n", &Sampling::dry_penalty_last_n)
      .def_rw("dry_breakers", &Sampling::dry_breakers)
      .def_rw("repeat_penalty", &Sampling::repeat_penalty)
      .def_rw("presence_penalty", &Sampling::presence_penalty)
      .def_rw("frequency_penalty", &Sampling::frequency_penalty)
      .def_rw("penalty_last_n", &Sampling::penalty_last_n)
      .def_rw("seed", &Sampling::seed)
      .def_rw("logit_bias", &Sampling::logit_bias);
}

}  // namespace

void bind_engine(nb::module_& module) {
  bind_sampling(module);
  bind_request(module);
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  nb::class_<Engine>(module, "Engine", nb::is_weak_referenceable())
      .def(
          "__init__",
          [](Engine* self, std::string device, std::optional<Bytes> cap, std::int32_t threads,
             std::uint32_t max_slots, double patience_s, double quantum_s,
             std::optional<Bytes> host_bytes, std::string spill_dir, Bytes spill_bytes,
             const StreamPolicy& streaming, const CopyOptions& copies) {
            new (self) Engine({std::move(device), cap, threads, max_slots, patience_s, quantum_s,
                               host_bytes, std::move(spill_dir), spill_bytes, streaming, copies});
          },
          "device"_a, "cap"_a.none(), "threads"_a, "max_slots"_a, "patience_s"_a, "quantum_s"_a,
          "host_bytes"_a.none(), "spill_dir"_a, "spill_bytes"_a, "streaming"_a, "copies"_a)
      .def(
          "submit",
          [](Engine& self, std::string model, std::string text, std::uint32_t max_tokens,
             const ContextSpec& context, const Sampling& sampling, std::vector<std::string> stops,
             std::optional<double> deadline_s, std::optional<Constraint> constraint,
             std::vector<std::string> preserved, std::optional<std::uint32_t> logprobs,
             std::string session, std::string mode, std::size_t max_unread,
             std::uint32_t exact_batch, bool truncate, bool may_widen) {
            nb::gil_scoped_release unlocked;
            return self.submit({std::move(model), std::move(text), max_tokens, context, sampling,
                                std::move(stops), deadline_s, std::move(constraint),
                                std::move(preserved), logprobs, std::move(session), std::move(mode),
                                max_unread, exact_batch, truncate, may_widen});
          },
          "model"_a, "text"_a, "max_tokens"_a, "context"_a, "sampling"_a, "stops"_a,
          "deadline_s"_a.none(), "constraint"_a.none(), "preserved"_a, "logprobs"_a.none(),
          "session"_a, "mode"_a, "max_unread"_a, "exact_batch"_a, "truncate"_a = false,
          "may_widen"_a = false)
      .def("job", &Engine::job, "id"_a, "model"_a, "context"_a, "aged"_a, release)
      .def(
          "project",
          [](Engine& self, const std::vector<Job>& jobs) {
            Projection projection;
            {
              nb::gil_scoped_release unlocked;
              projection = self.project(jobs);
            }
            return std::make_tuple(to_list(projection.ledger), projection.queued, projection.asked);
          },
          "jobs"_a,
          nb::sig("def project(self, jobs: collections.abc.Sequence[Job]) -> "
                  "tuple[list[dict[str, object]], list[Decision], list[Decision]]"),
          "What is booked now; the answers for the queue; the answers for these jobs.")
      .def("estimate", &Engine::estimate, "model"_a, "context"_a, release)
      .def("inspect", &Engine::inspect, "model"_a, release)
      .def("forget", &Engine::forget, "session"_a)
      .def("pin", &Engine::pin, "model"_a, "pinned"_a)
      .def(
          "hold",
          [](Engine& self, const std::string& holder, Bytes bytes,
             const std::string& mode) -> nb::object {
            const auto denial = self.hold(holder, bytes, hold_mode_of(mode));
            if (!denial) return nb::none();
            return nb::make_tuple(denial->needs, denial->cap, denial->free);
          },
          "holder"_a, "bytes"_a, "mode"_a,
          nb::sig(
              "def hold(self, holder: str, bytes: int, mode: str) -> tuple[int, int, int] | None"),
          "None, or (needs, cap, free) when it was denied.")
      .def("release", &Engine::release, "holder"_a)
      .def(
          "see",
          [](Engine& self, std::optional<Bytes> own, const std::optional<Outsiders>& others) {
            nb::gil_scoped_release unlocked;
            self.see(sighting_of(own, others));
          },
          "own"_a.none(), "others"_a.none())
      .def("snapshot", snapshot, nb::sig("def snapshot(self) -> dict[str, object]"))
      .def("close", &Engine::close, release);
}

}  // namespace lmx
