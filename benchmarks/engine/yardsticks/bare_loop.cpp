// The yardstick of decoding: llama_decode in a loop, the likeliest token, nothing around it.
//
//   bare_loop MODEL N_CTX N_SEQ THREADS
//
// loads the model, prints a line, and then answers each line "N_TOKENS PROMPT" on its input with
// one JSON line: seconds (of the clock and of this process's processors) for the prompts and for
// the tokens. All sequences get the same prompt and generate N_TOKENS tokens each.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include "llama.h"

namespace {

struct Instant {
  double wall;
  double cpu;

  static Instant now() { return {seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID)}; }

 private:
  static double seconds(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  }
};

struct Loop {
  llama_model* model;
  llama_context* context;
  llama_batch batch;
  int n_batch;
  int n_seq;

  void add(llama_token token, int position, int sequence, bool output) {
    const int row = batch.n_tokens++;
    batch.token[row] = token;
    batch.pos[row] = position;
    batch.n_seq_id[row] = 1;
    batch.seq_id[row][0] = sequence;
    batch.logits[row] = output ? 1 : 0;
  }

  void decode() {
    if (llama_decode(context, batch) != 0) std::exit(1);
    batch.n_tokens = 0;
  }

  llama_token likeliest(int row) const {
    const float* logits = llama_get_logits_ith(context, row);
    const int n = llama_vocab_n_tokens(llama_model_get_vocab(model));
    return static_cast<llama_token>(std::max_element(logits, logits + n) - logits);
  }

  std::vector<llama_token> tokenize(const std::string& text) const {
    std::vector<llama_token> tokens(text.size() + 2);
    const int n =
        llama_tokenize(llama_model_get_vocab(model), text.data(), static_cast<int>(text.size()),
                       tokens.data(), static_cast<int>(tokens.size()), true, true);
    if (n <= 0) std::exit(1);
    tokens.resize(static_cast<std::size_t>(n));
    return tokens;
  }

  std::vector<llama_token> prefill(const std::vector<llama_token>& prompt) {
    std::vector<llama_token> last(static_cast<std::size_t>(n_seq));
    const int n = static_cast<int>(prompt.size());
    int first = 0;  // sequences before it have their first token
    for (int sequence = 0; sequence < n_seq; ++sequence) {
      for (int i = 0; i < n; ++i) add(prompt[static_cast<std::size_t>(i)], i, sequence, i + 1 == n);
      if (sequence + 1 < n_seq && batch.n_tokens + n <= n_batch) continue;
      decode();
      for (int row = 0; first <= sequence; ++first, ++row) {
        last[static_cast<std::size_t>(first)] = likeliest((row + 1) * n - 1);
      }
    }
    return last;
  }

  void run(const std::vector<llama_token>& prompt, int n_tokens) {
    llama_memory_clear(llama_get_memory(context), false);
    const Instant began = Instant::now();
    std::vector<llama_token> last = prefill(prompt);
    const Instant filled = Instant::now();
    for (int step = 0; step + 1 < n_tokens; ++step) {
      for (int i = 0; i < n_seq; ++i) {
        add(last[static_cast<std::size_t>(i)], static_cast<int>(prompt.size()) + step, i, true);
      }
      decode();
      for (int i = 0; i < n_seq; ++i) last[static_cast<std::size_t>(i)] = likeliest(i);
    }
    const Instant ended = Instant::now();
    std::printf(
        "{\"prompt_tokens\": %zu, \"prefill_s\": %.9f, \"prefill_cpu_s\": %.9f, "
        "\"decode_s\": %.9f, \"decode_cpu_s\": %.9f}\n",
        prompt.size(), filled.wall - began.wall, filled.cpu - began.cpu, ended.wall - filled.wall,
        ended.cpu - filled.cpu);
    std::fflush(stdout);
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: bare_loop MODEL N_CTX N_SEQ THREADS\n", stderr);
    return 2;
  }
  const int n_ctx = std::atoi(argv[2]);
  const int n_seq = std::atoi(argv[3]);
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_backend_init();
  ggml_backend_load_all();
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) return 1;
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<std::uint32_t>(n_ctx * n_seq);
  params.n_batch = params.n_ubatch = static_cast<std::uint32_t>(std::min(n_ctx, 512));
  params.n_seq_max = static_cast<std::uint32_t>(n_seq);
  params.n_threads = params.n_threads_batch = std::atoi(argv[4]);
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) return 1;
  const int n_batch = static_cast<int>(llama_n_batch(context));
  Loop loop{model, context, llama_batch_init(n_batch, 0, 1), n_batch, n_seq};
  std::puts("ready");
  std::fflush(stdout);

  int n_tokens = 0;
  std::string prompt;
  while (std::cin >> n_tokens && std::getline(std::cin >> std::ws, prompt)) {
    loop.run(loop.tokenize(prompt), n_tokens);
  }
  llama_batch_free(loop.batch);
  llama_free(context);
  llama_model_free(model);
  return 0;
}
