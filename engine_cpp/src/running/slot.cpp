#include "lmx/running/slot.hpp"

namespace lmx {

Generation::Generation(std::shared_ptr<Request> asked, const llama_vocab* vocab)
    : request(std::move(asked)) {
  const RequestSpec& spec = request->spec();
  sampler = make_sampler(spec.sampling, vocab, spec.context.n_ctx);
  for (llama_token token : spec.prompt) llama_sampler_accept(sampler.get(), token);
  text = TextStream(spec.stops);
  constraint = spec.constraint;
  tokens = spec.prompt;
}

}  // namespace lmx
