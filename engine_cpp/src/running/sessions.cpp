#include "lmx/running/sessions.hpp"

#include <algorithm>

namespace lmx {
namespace {

constexpr std::uint32_t kWorthKeeping = 128;  // tokens of a sequence without a name

bool begins_with(const std::vector<llama_token>& tokens, const Tokens& beginning) {
  return beginning.size() < tokens.size() &&
         std::equal(beginning.begin(), beginning.end(), tokens.begin());
}

}  // namespace

Sessions::Sessions(std::shared_ptr<SharedLedger> host, KvStoreOptions options, std::string device,
                   std::int32_t threads)
    : store_(std::make_unique<KvStore>(std::move(host), std::move(options))),
      device_(std::move(device)),
      threads_(threads) {}

// Whatever changes the bits of keys and values, or how they lie in memory.
std::string Sessions::fingerprint(const FileIdentity& file, const ContextSpec& spec) const {
  return file.path + " inode=" + std::to_string(file.inode) + " size=" + std::to_string(file.size) +
         " modified=" + std::to_string(file.modified_ns) + " kv=" + spec.kv_type +
         " fa=" + spec.flash_attn + " pooling=" + spec.pooling +
         " ubatch=" + std::to_string(spec.n_ubatch) + " device=" + device_ +
         " threads=" + std::to_string(threads_) + " llama.cpp=" + llama_version();
}

std::string Sessions::fingerprint(const Context& context) const {
  const std::string name = fingerprint(context.model().file, context.spec());
  return context.memory().plain() ? name
                                  : name + " streams=" + std::to_string(context.spec().n_seq);
}

bool Sessions::fetch(const RequestSpec& spec) {
  const auto name = fingerprint(spec.model->identity(), spec.context);
  const auto match = store_->find({.fingerprint = name,
                                   .session = spec.session,
                                   .tokens = spec.prompt,
                                   .exact = spec.mode == Mode::deterministic});
  if (!match || match->where == Where::ram || match->usable < kWorthCopying) return false;
  store_->prefetch(match->id);
  return true;
}

// A saved sequence with more of the generation's tokens than are `at_hand`.
std::optional<SavedSequence> Sessions::best_saved(const Context& context,
                                                  const Generation& generation,
                                                  std::uint32_t at_hand, std::uint32_t& usable) {
  const MemoryTraits& memory = context.memory();
  if (generation.exact() && !memory.exact_restore()) return std::nullopt;
  const auto name = fingerprint(context);
  const auto match =
      store_->find({.fingerprint = name,
                    .session = generation.request->spec().session,
                    .tokens = std::span(generation.tokens).first(generation.size() - 1),
                    .whole = !memory.plain(),
                    .exact = generation.exact()});
  if (!match) return std::nullopt;
  usable = match->usable;
  if (generation.exact()) usable -= usable % memory.chunk;
  if (usable < at_hand + kWorthCopying || match->total > context.spec().n_ctx) return std::nullopt;
  return match->own ? store_->take(match->id) : store_->read(match->id);
}

Sessions::Seat Sessions::seat(Context& context, const Generation& generation,
                              std::optional<SavedId> mine) {
  const auto slots = context.held(generation.request->spec().session);
  const Wanted wanted{generation.tokens, generation.exact()};
  const Placement place = choose_slot(slots, wanted, context.memory()).value();
  const auto slot = static_cast<std::uint32_t>(place.slot);

  std::uint32_t usable = 0;
  std::optional<SavedSequence> saved;
  if (mine) saved = store_->take(*mine);
  if (saved && begins_with(generation.tokens, saved->label->tokens)) {
    usable = static_cast<std::uint32_t>(saved->label->tokens.size());
  } else {
    saved = best_saved(context, generation, place.keep, usable);
  }
  const std::string reason =
      "its slot is for request " + std::to_string(generation.request->spec().id);
  const Held& held = slots[place.slot];
  const bool in_place = !saved && !place.copy_from && place.keep > 0;
  if (in_place) {
    // What another session has beyond the common beginning is about to be cut off.
    if (!held.own && !held.anonymous) save(context, slot, reason);
    return {slot, place.keep};
  }
  if (!held.own) put_away(context, slot, reason);
  if (saved) return {slot, restore(context, slot, *saved->label, *saved->bytes) ? usable : 0};
  if (!place.copy_from) return {slot, 0};
  return {slot, copy(context, static_cast<std::uint32_t>(*place.copy_from), slot) ? place.keep : 0};
}

Sessions::Suspended Sessions::suspend(Context& context, std::uint32_t slot,
                                      const std::string& reason) {
  Suspended suspended;
  suspended.generation = context.suspend(slot);
  const bool restorable = !suspended.generation->exact() || context.memory().exact_restore();
  if (restorable) suspended.saved = save(context, slot, reason);
  if (suspended.saved) context.clear(slot);
  return suspended;
}

std::optional<SavedId> Sessions::save(Context& context, std::uint32_t index,
                                      const std::string& reason) {
  const Slot& slot = context.slots()[index];
  if (slot.n_past == 0) return std::nullopt;
  const auto began = Clock::now();
  const Bytes most = context.state_bytes(index);
  const double cost_s = context.prefill_s(slot.n_past);
  Room room = store_->room({.bytes = most, .cost_s = cost_s, .now = true});
  const Bytes bytes = room ? context.save(index, room.buffer->view()) : 0;
  if (bytes == 0) {
    totals_.refused += 1;
    tell("drop", context, slot.session, most, 0, "no room for it on the host; " + reason);
    return std::nullopt;
  }
  room.buffer->shrink(bytes);
  const double seconds = seconds_between(began, Clock::now());
  SequenceLabel label{.fingerprint = fingerprint(context),
                      .session = slot.session,
                      .tokens = {slot.cached().begin(), slot.cached().end()},
                      .exact_until = slot.exact_until,
                      .cost_s = cost_s};
  totals_.out += 1;
  totals_.out_bytes += bytes;
  totals_.out_s += seconds;
  tell("swap_out", context, slot.session, bytes, seconds, reason);
  return store_->keep(std::move(label), std::move(*room.buffer));
}

void Sessions::put_away(Context& context, std::uint32_t index, const std::string& reason) {
  const Slot& slot = context.slots()[index];
  if (!slot.parked()) return;
  if (!slot.session.empty() || slot.n_past >= kWorthKeeping) save(context, index, reason);
  context.clear(index);
}

void Sessions::put_away(Context& context, const std::string& session, const std::string& reason) {
  for (std::uint32_t i = 0; i < context.slots().size(); ++i) {
    if (context.slots()[i].session == session) put_away(context, i, reason);
  }
}

void Sessions::put_away_named(Context& context, const std::string& reason) {
  for (std::uint32_t i = 0; i < context.slots().size(); ++i) {
    if (!context.slots()[i].session.empty()) put_away(context, i, reason);
  }
}

void Sessions::put_away_all(Context& context, const std::string& reason) {
  for (std::uint32_t i = 0; i < context.slots().size(); ++i) put_away(context, i, reason);
}

bool Sessions::restore(Context& context, std::uint32_t slot, const SequenceLabel& label,
                       const HostBuffer& bytes) {
  const auto began = Clock::now();
  Room scratch;
  const Bytes needed = context.restored_bytes(bytes.view());
  if (needed > 0) scratch = store_->room({.bytes = needed, .cost_s = label.cost_s, .now = true});
  const bool done =
      (needed == 0 || scratch) &&
      context.restore(slot, {label.tokens, label.exact_until, label.session}, bytes.view(),
                      scratch ? scratch.buffer->view() : std::span<std::byte>{});
  if (!done) {
    tell("drop", context, label.session, bytes.size(), 0, "it does not fit into this context");
    return false;
  }
  const double seconds = seconds_between(began, Clock::now());
  totals_.in += 1;
  totals_.in_bytes += bytes.size();
  totals_.in_s += seconds;
  tell("swap_in", context, label.session, bytes.size(), seconds, "a request goes on from it");
  return true;
}

// By way of the host: the library's own copy between streams takes place at the next decode only,
// and takes the whole stream, however little of it is used.
bool Sessions::copy(Context& context, std::uint32_t from, std::uint32_t to) {
  const auto began = Clock::now();
  const Slot& source = context.slots()[from];
  Room room = store_->room({.bytes = context.state_bytes(from),
                            .cost_s = context.prefill_s(source.n_past),
                            .now = true});
  const Bytes bytes = room ? context.save(from, room.buffer->view()) : 0;
  if (bytes == 0) return false;
  const Parked parked{source.cached(), source.exact_until, ""};
  if (!context.restore(to, parked, room.buffer->view().first(bytes), {})) return false;
  totals_.copies += 1;
  tell("copy", context, source.session, bytes, seconds_between(began, Clock::now()),
       "a request begins with the same tokens");
  return true;
}

double Sessions::seconds_for(Bytes bytes) const {
  constexpr double kGuess = 2e9;  // bytes/s, before anything was copied
  const double seen = totals_.out_s + totals_.in_s;
  const auto moved = static_cast<double>(totals_.out_bytes + totals_.in_bytes);
  return static_cast<double>(bytes) / (seen > 0 && moved > 0 ? moved / seen : kGuess);
}

void Sessions::tell(std::string kind, const Context& context, const std::string& session,
                    Bytes bytes, double seconds, std::string reason) {
  const std::string name = session.empty() ? "a sequence" : "session " + session;
  moves_.push_back(
      {std::move(kind), name + " of " + context.id(), bytes, seconds, std::move(reason)});
}

void Sessions::close() {
  last_view_ = store_->view();
  store_.reset();
}

std::vector<Move> Sessions::moves() {
  return std::exchange(moves_, {});
}

}  // namespace lmx
