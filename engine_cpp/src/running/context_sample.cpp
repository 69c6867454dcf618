// What comes of a decode: a token, or the vector of a text.
#include <algorithm>
#include <limits>

#include "lmx/base/errors.hpp"
#include "lmx/running/context.hpp"

namespace lmx {
namespace {

// Rejects NaN and +inf; -inf is how some models rule a token out.
bool usable(const float* logits, std::int32_t n) {
  return logits != nullptr && std::all_of(logits, logits + n, [](float logit) {
           return logit <= std::numeric_limits<float>::max();
         });
}

}  // namespace

void Context::pool(std::uint32_t index, Step& step) {
  Request& request = *slots_[index].generation->request;
  const float* vector = llama_get_embeddings_seq(handle_.get(), static_cast<llama_seq_id>(index));
  const std::int32_t width = llama_model_n_embd_out(model_->handle.get());
  std::exception_ptr error;
  if (usable(vector, width)) {
    request.set_embedding({vector, vector + width});
  } else {
    error = std::make_exception_ptr(ModelFileError(
        model_->file.path + ": computes numbers that are not finite; the file is damaged"));
  }
  step.endings.push_back(end(index, error ? "" : "stop", error));
  clear(index);
}

void Context::sample(std::uint32_t index, Step& step) {
  Slot& slot = slots_[index];
  const float* logits = llama_get_logits_ith(handle_.get(), slot.output_row);
  const auto n_vocab = static_cast<std::size_t>(llama_vocab_n_tokens(vocab_));
  if (logits == nullptr || !shortlist_.likeliest.scan({logits, n_vocab})) {
    const ModelFileError error(model_->file.path +
                               ": computes numbers that are not finite; the file is damaged");
    step.endings.push_back(end(index, "", std::make_exception_ptr(error)));
    clear(index);
    return;
  }
  if (!slot.generation->answering) slot.generation->request->enter(Phase::decode);
  slot.generation->answering = true;
  try {
    accept(index, choose(slot, logits), step);
  } catch (...) {  // of the grammar: only this request's own affair
    step.endings.push_back(end(index, "", std::current_exception()));
  }
}

llama_token Context::choose(Slot& slot, const float* logits) {
  Generation& generation = *slot.generation;
  const llama_token token =
      generation.constraint && !generation.constraint->idle()
          ? sample_within(generation.sampler.get(), *generation.constraint,
                          {vocab_, generation.request->spec().preserved}, logits)
          : lmx::sample(generation.sampler.get(), generation.request->spec().sampling, vocab_,
                        shortlist_, logits);
  if (const auto& n_top = generation.request->spec().logprobs) {
    generation.request->add_logprob(logprob_of(vocab_, logits, token, *n_top));
  }
  return token;
}

void Context::accept(std::uint32_t index, llama_token token, Step& step) {
  Generation& generation = *slots_[index].generation;
  Request& request = *generation.request;
  generation.tokens.push_back(token);
  request.count_token();
  step.completion_tokens += 1;
  bool stopped = llama_vocab_is_eog(vocab_, token);
  if (!stopped) {
    const std::string piece = Pieces{vocab_, request.spec().preserved}.of(token);
    if (generation.constraint) generation.constraint->accept(piece);
    request.emit(generation.text.push(piece));
    stopped =
        generation.text.stopped() || (generation.constraint && generation.constraint->must_end());
  }
  const bool full =
      generation.produced() >= request.spec().max_tokens || slots_[index].n_past >= spec_.n_ctx;
  if (!stopped && !full) return;
  request.emit(generation.text.flush());
  step.endings.push_back(end(index, stopped ? "stop" : "length", nullptr));
}

}  // namespace lmx
