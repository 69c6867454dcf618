// A snapshot as a dict: python/lmx/engine/views.py tells its shape.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "bindings.hpp"
#include "lmx/running/snapshot.hpp"

namespace nb = nanobind;

namespace lmx {
namespace {

nb::dict view_of(const Snapshot& s) {
  nb::dict kinds;
  for (Kind kind : kKinds) kinds[kind_name(kind)] = 0;
  nb::list ledger;
  for (const Claim& claim : s.ledger) {
    kinds[kind_name(claim.kind)] = nb::cast<Bytes>(kinds[kind_name(claim.kind)]) + claim.bytes;
    nb::dict entry;
    entry["holder"] = claim.holder;
    entry["kind"] = kind_name(claim.kind);
    entry["bytes"] = claim.bytes;
    ledger.append(entry);
  }
  nb::dict view;
  view["device"] = s.device;
  view["in_use"] = s.in_use;
  view["cap"] = s.cap;
  view["used"] = s.used;
  view["free"] = s.free;
  view["by_kind"] = kinds;
  view["ledger"] = ledger;
  return view;
}

nb::list models_of(const Snapshot& s) {
  nb::list models;
  for (const ModelView& model : s.models) {
    nb::dict entry;
    entry["id"] = model.id;
    entry["path"] = model.path;
    entry["bytes"] = model.bytes;
    entry["references"] = model.references;
    entry["pinned"] = model.pinned;
    entry["idle_s"] = model.idle_s;
    entry["load_s"] = model.load_s;
    models.append(entry);
  }
  return models;
}

nb::list contexts_of(const Snapshot& s) {
  nb::list contexts;
  for (const ContextView& context : s.contexts) {
    nb::dict entry;
    entry["id"] = context.id;
    entry["model"] = context.model;
    entry["n_ctx"] = context.n_ctx;
    entry["slots"] = context.slots;
    entry["active"] = context.active;
    entry["parked"] = context.parked;
    entry["kv_bytes"] = context.kv_bytes;
    entry["compute_bytes"] = context.compute_bytes;
    entry["idle_s"] = context.idle_s;
    contexts.append(entry);
  }
  return contexts;
}

nb::list requests_of(const Snapshot& s) {
  nb::list requests;
  for (const RequestView& request : s.requests) {
    nb::dict entry;
    entry["id"] = request.id;
    entry["model"] = request.model;
    entry["phase"] = request.phase;
    entry["wait_s"] = request.wait_s;
    entry["age_s"] = request.age_s;
    entry["prompt_tokens"] = request.prompt_tokens;
    entry["completion_tokens"] = request.completion_tokens;
    requests.append(entry);
  }
  return requests;
}

nb::list events_of(const Snapshot& s) {
  nb::list events;
  for (const Event& event : s.events) {
    nb::dict entry;
    entry["at_s"] = event.at_s;
    entry["kind"] = event.kind;
    entry["subject"] = event.subject;
    entry["bytes"] = event.bytes;
    entry["reason"] = event.reason;
    events.append(entry);
  }
  return events;
}

nb::list holds_of(const Snapshot& s) {
  nb::list holds;
  for (const HoldView& hold : s.holds) {
    nb::dict entry;
    entry["holder"] = hold.holder;
    entry["bytes"] = hold.bytes;
    entry["granted"] = hold.granted;
    entry["wait_s"] = hold.wait_s;
    holds.append(entry);
  }
  return holds;
}

nb::dict rates_of(const Rates& r) {
  nb::dict entry;
  entry["window_s"] = r.window_s;
  entry["prefill_tokens_per_s"] = r.prefill_tokens_per_s;
  entry["completion_tokens_per_s"] = r.completion_tokens_per_s;
  entry["decodes_per_s"] = r.decodes_per_s;
  entry["batch"] = r.batch;
  entry["busy"] = r.busy;
  return entry;
}

nb::dict totals_of(const Totals& t) {
  nb::dict entry;
  entry["requests"] = t.requests;
  entry["finished"] = t.finished;
  entry["evictions"] = t.evictions;
  entry["decodes"] = t.decodes;
  entry["decoded_sequences"] = t.decoded_sequences;
  entry["prefill_tokens"] = t.prefill_tokens;
  entry["completion_tokens"] = t.completion_tokens;
  entry["busy_s"] = t.busy_s;
  entry["overhead_s"] = t.overhead_s;
  entry["tokens_per_s"] =
      t.busy_s > 0 ? static_cast<double>(t.prefill_tokens + t.completion_tokens) / t.busy_s : 0.0;
  return entry;
}

}  // namespace

nb::dict to_dict(const Snapshot& s) {
  nb::dict view = view_of(s);
  view["models"] = models_of(s);
  view["contexts"] = contexts_of(s);
  view["requests"] = requests_of(s);
  view["holds"] = holds_of(s);
  view["events"] = events_of(s);
  view["totals"] = totals_of(s.totals);
  view["rates"] = rates_of(s.rates);
  return view;
}

}  // namespace lmx
