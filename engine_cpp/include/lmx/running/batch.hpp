// The tokens of one decode.
#pragma once

#include <cstdint>

#include "llama.h"

namespace lmx {

class Batch {
 public:
  explicit Batch(std::uint32_t capacity)
      : size_(capacity), tokens_(llama_batch_init(static_cast<std::int32_t>(capacity), 0, 1)) {}
  ~Batch() { llama_batch_free(tokens_); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  std::uint32_t capacity() const { return size_; }
  std::uint32_t count() const { return static_cast<std::uint32_t>(tokens_.n_tokens); }
  std::uint32_t room() const { return size_ - count(); }
  const llama_batch& tokens() const { return tokens_; }

  void clear() { tokens_.n_tokens = 0; }

  // Returns the row by which its logits are asked for, if it has an output.
  std::int32_t add(llama_token token, std::uint32_t position, std::uint32_t sequence, bool output) {
    const std::int32_t row = tokens_.n_tokens++;
    tokens_.token[row] = token;
    tokens_.pos[row] = static_cast<llama_pos>(position);
    tokens_.n_seq_id[row] = 1;
    tokens_.seq_id[row][0] = static_cast<llama_seq_id>(sequence);
    tokens_.logits[row] = output ? 1 : 0;
    return row;
  }

 private:
  const std::uint32_t size_;
  llama_batch tokens_;
};

}  // namespace lmx
