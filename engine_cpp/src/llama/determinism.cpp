#include "lmx/llama/determinism.hpp"

#include <algorithm>
#include <map>
#include <span>

#include "lmx/base/checksum.hpp"
#include "lmx/base/errors.hpp"
#include "lmx/running/batch.hpp"

namespace lmx {
namespace {

// What a token led to: a checksum of its row of logits, by sequence and position.
using Rows = std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t>;

class Trial {
 public:
  Trial(const std::string& path, const Device& device, const ContextSpec& spec,
        std::int32_t threads, std::uint32_t steps)
      : spec_(spec),
        steps_(steps),
        model_(load_model(path, device, LoadMode::real)),
        context_(make_context(model_.get(), spec, threads)),
        n_vocab_(
            static_cast<std::uint32_t>(llama_vocab_n_tokens(llama_model_get_vocab(model_.get())))),
        batch_(llama_n_batch(context_.get())) {}

  // Unlike lengths, up to most of the context, so that neighbours differ in what they attend to.
  std::uint32_t prompt_size(std::uint32_t sequence) const {
    const std::uint32_t longest = spec_.n_ctx - steps_ - 1;
    return std::clamp(longest / (1 + sequence * 5 % spec_.n_seq), 1U, longest);
  }

  void prefill(std::uint32_t sequence, std::uint32_t first_chunk) {
    const std::uint32_t size = prompt_size(sequence);
    std::uint32_t position = 0;
    while (position < size) {
      batch_.clear();
      const std::uint32_t most = position == 0 ? first_chunk : batch_.capacity();
      const std::uint32_t end = std::min(position + std::min(most, batch_.capacity()), size);
      for (; position < end; ++position) {
        batch_.add(token(sequence, position), position, sequence, position + 1 == size);
      }
      decode();
    }
  }

  // Takes sequences [first, first + n) `steps` tokens on, together or each for itself.
  Rows run(std::uint32_t first, std::uint32_t n, bool together) {
    Rows rows;
    prepare(first, n);
    for (std::uint32_t step = 0; step < steps_; ++step) {
      batch_.clear();
      for (std::uint32_t sequence = first; sequence < first + n; ++sequence) {
        const std::uint32_t position = prompt_size(sequence) + step;
        batch_.add(token(sequence, position), position, sequence, true);
        if (together && sequence + 1 < first + n) continue;
        decode();
        read(rows);
        batch_.clear();
      }
    }
    return rows;
  }

  std::uint64_t last_row() { return row(static_cast<std::int32_t>(batch_.count()) - 1); }
  void forget(std::uint32_t sequence) {
    llama_memory_seq_rm(llama_get_memory(context_.get()), static_cast<llama_seq_id>(sequence), -1,
                        -1);
  }

 private:
  // Back to behind the prompts, by forgetting what came after them where the memory can do that.
  void prepare(std::uint32_t first, std::uint32_t n) {
    for (std::uint32_t sequence = first; sequence < first + n; ++sequence) {
      const auto id = static_cast<llama_seq_id>(sequence);
      const auto size = static_cast<llama_pos>(prompt_size(sequence));
      const auto memory = llama_get_memory(context_.get());
      if (llama_memory_seq_pos_max(memory, id) + 1 < size ||
          !llama_memory_seq_rm(memory, id, size, -1)) {
        forget(sequence);
        prefill(sequence, batch_.capacity());
      }
    }
  }

  // Any tokens will do, as long as they are always the same.
  llama_token token(std::uint32_t sequence, std::uint32_t position) const {
    const std::uint64_t mixed = (std::uint64_t{sequence} * 7919 + position) * 2654435761U;
    return static_cast<llama_token>((mixed >> 8) % n_vocab_);
  }

  void decode() {
    const std::int32_t status = llama_decode(context_.get(), batch_.tokens());
    if (status != 0) throw Error("a decode failed with status " + std::to_string(status));
    llama_synchronize(context_.get());
  }

  void read(Rows& rows) {
    const llama_batch& tokens = batch_.tokens();
    for (std::int32_t i = 0; i < tokens.n_tokens; ++i) {
      const auto sequence = static_cast<std::uint32_t>(tokens.seq_id[i][0]);
      rows[{sequence, static_cast<std::uint32_t>(tokens.pos[i])}] = row(i);
    }
  }

  std::uint64_t row(std::int32_t index) {
    const float* logits = llama_get_logits_ith(context_.get(), index);
    if (logits == nullptr) throw Error("a decode gave no logits");
    return checksum(std::as_bytes(std::span(logits, n_vocab_)));
  }

  const ContextSpec spec_;
  const std::uint32_t steps_;
  ModelHandle model_;
  ContextHandle context_;
  const std::uint32_t n_vocab_;
  Batch batch_;
};

bool agrees(const Rows& rows, const Rows& with) {
  return std::ranges::all_of(rows,
                             [&](const auto& row) { return with.at(row.first) == row.second; });
}

}  // namespace

DeterminismReport measure_determinism(const std::string& path, const Device& device,
                                      ContextSpec spec, std::int32_t threads, std::uint32_t largest,
                                      std::uint32_t steps) {
  spec.n_seq = largest;
  spec = normalised(spec);
  Trial trial(path, device, spec, threads, steps);
  DeterminismReport report;
  const Rows alone = trial.run(0, largest, false);
  report.tokens_compared = static_cast<std::uint32_t>(alone.size());
  for (std::uint32_t n = 1; n <= largest; ++n) {
    const bool first = agrees(trial.run(0, n, true), alone);
    const bool last = agrees(trial.run(largest - n, n, true), alone);
    report.same_in_batch.push_back(first && last);
    report.tokens_compared += 2 * n * steps;
  }
  trial.forget(0);
  trial.prefill(0, spec.n_ubatch);
  const std::uint64_t whole = trial.last_row();
  report.same_in_chunks = true;
  const std::uint32_t size = trial.prompt_size(0);
  for (const std::uint32_t first : {1U, 7U, spec.n_ubatch / 3, size - 7, size - 1}) {
    trial.forget(0);
    trial.prefill(0, std::max(1U, first));
    report.same_in_chunks = report.same_in_chunks && trial.last_row() == whole;
  }
  return report;
}

}  // namespace lmx
