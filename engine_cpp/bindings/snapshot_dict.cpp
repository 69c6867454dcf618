// A snapshot as a dict: python/lmx/engine/views.py tells its shape.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "bindings.hpp"
#include "lmx/running/snapshot.hpp"

namespace nb = nanobind;

namespace lmx {
namespace {

nb::dict by_kind(const std::vector<Claim>& claims) {
  nb::dict kinds;
  for (Kind kind : kKinds) kinds[kind_name(kind)] = 0;
  for (const Claim& claim : claims) {
    kinds[kind_name(claim.kind)] = nb::cast<Bytes>(kinds[kind_name(claim.kind)]) + claim.bytes;
  }
  return kinds;
}

nb::dict view_of(const Snapshot& s) {
  nb::dict view;
  view["device"] = s.device;
  view["uptime_s"] = s.uptime_s;
  view["in_use"] = s.in_use;
  view["cap"] = s.cap;
  view["used"] = s.used;
  view["free"] = s.free;
  view["by_kind"] = by_kind(s.ledger);
  view["ledger"] = to_list(s.ledger);
  return view;
}

nb::list saved_of(const KvStoreView& store) {
  nb::list all;
  for (const SavedView& saved : store.sequences) {
    nb::dict entry;
    entry["session"] = saved.session;
    entry["tokens"] = saved.tokens;
    entry["bytes"] = saved.bytes;
    entry["where"] = where_name(saved.where);
    entry["on_disk"] = saved.on_disk;
    entry["idle_s"] = saved.idle_s;
    all.append(entry);
  }
  return all;
}

nb::dict host_of(const HostView& h) {
  const KvStoreCounters& c = h.saved.counters;
  nb::dict view;
  view["cap"] = h.cap;
  view["used"] = h.used;
  view["by_kind"] = by_kind(h.ledger);
  view["ledger"] = to_list(h.ledger);
  view["saved_bytes"] = h.saved.ram_bytes;
  view["disk_bytes"] = h.saved.disk_bytes;
  view["disk_limit"] = h.saved.disk_limit;
  view["disk_usable"] = h.saved.disk_usable;
  view["writing"] = h.saved.writing;
  view["spills"] = c.spills;
  view["spill_failures"] = c.spill_failures;
  view["restores"] = c.restores;
  view["damaged"] = c.lost.damaged;
  view["lost_to_ram"] = c.lost.ram_full;
  view["lost_to_disk"] = c.lost.disk_full;
  view["saved"] = saved_of(h.saved);
  return view;
}

nb::dict stream_of(const StreamView& stream) {
  nb::dict entry;
  entry["layers"] = stream.layers;
  entry["resident_layers"] = stream.resident;
  entry["slots"] = stream.slots;
  entry["slot_bytes"] = stream.slot_bytes;
  entry["host_bytes"] = stream.host_bytes;
  entry["copied_bytes"] = stream.copied_bytes;
  entry["passes"] = stream.passes;
  const auto copied = static_cast<double>(stream.copied_bytes);
  entry["copy_gb_per_s"] = stream.copy_s > 0 ? copied / stream.copy_s / 1e9 : 0.0;
  entry["wait_share"] = stream.decode_s > 0 ? stream.wait_s / stream.decode_s : 0.0;
  return entry;
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
    entry["streaming"] = model.streaming ? nb::object(stream_of(*model.streaming)) : nb::none();
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
  entry["swap_out_bytes_per_s"] = r.swap_out_bytes_per_s;
  entry["swap_in_bytes_per_s"] = r.swap_in_bytes_per_s;
  entry["stream_bytes_per_s"] = r.stream_bytes_per_s;
  return entry;
}

nb::dict swaps_of(const SwapTotals& t) {
  nb::dict entry;
  entry["out"] = t.out;
  entry["into"] = t.in;
  entry["copies"] = t.copies;
  entry["refused"] = t.refused;
  entry["out_bytes"] = t.out_bytes;
  entry["in_bytes"] = t.in_bytes;
  entry["out_s"] = t.out_s;
  entry["in_s"] = t.in_s;
  return entry;
}

nb::dict totals_of(const Totals& t) {
  nb::dict entry;
  entry["swaps"] = swaps_of(t.swaps);
  entry["cached_tokens"] = t.cached_tokens;
  entry["suspensions"] = t.suspensions;
  entry["requests"] = t.requests;
  entry["finished"] = t.finished;
  entry["evictions"] = t.evictions;
  entry["evictions_for_holds"] = t.evictions_for_holds;
  entry["evictions_for_layers"] = t.evictions_for_layers;
  entry["decodes"] = t.decodes;
  entry["decoded_sequences"] = t.decoded_sequences;
  entry["prefill_tokens"] = t.prefill_tokens;
  entry["completion_tokens"] = t.completion_tokens;
  entry["busy_s"] = t.busy_s;
  entry["overhead_s"] = t.overhead_s;
  entry["streamed_bytes"] = t.streamed_bytes;
  entry["stream_copy_s"] = t.stream_copy_s;
  entry["tokens_per_s"] =
      t.busy_s > 0 ? static_cast<double>(t.prefill_tokens + t.completion_tokens) / t.busy_s : 0.0;
  return entry;
}

}  // namespace

nb::list to_list(const std::vector<Claim>& claims) {
  nb::list ledger;
  for (const Claim& claim : claims) {
    nb::dict entry;
    entry["holder"] = claim.holder;
    entry["kind"] = kind_name(claim.kind);
    entry["bytes"] = claim.bytes;
    ledger.append(entry);
  }
  return ledger;
}

nb::dict to_dict(const Snapshot& s) {
  nb::dict view = view_of(s);
  view["models"] = models_of(s);
  view["contexts"] = contexts_of(s);
  view["requests"] = requests_of(s);
  view["holds"] = holds_of(s);
  view["events"] = events_of(s);
  view["totals"] = totals_of(s.totals);
  view["rates"] = rates_of(s.rates);
  view["host"] = host_of(s.host);
  return view;
}

}  // namespace lmx
