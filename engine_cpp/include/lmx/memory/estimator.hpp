// The estimator: what a model needs, to the byte, without allocating any of it.
//
// A file is loaded "dry" (metadata, vocabulary, no weights) and a context is planned upon it; the
// library then tells the sizes of the buffers that it would allocate.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lmx/llama/layers.hpp"
#include "lmx/llama/llama_adapter.hpp"

namespace lmx {

// What makes a file on disk the same file as before.
struct FileIdentity {
  std::string path;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;

  auto operator<=>(const FileIdentity&) const = default;
};

// Throws ModelFileError when there is no such regular file.
FileIdentity identify(const std::string& path);

// What a dry load depends on, under whatever name and however old the file is. A file whose header
// cannot be told apart, or that is only a part of a model, counts as different when it was touched.
struct FileContent {
  std::uint64_t header = 0;  // checksum
  std::uint64_t size = 0;

  auto operator<=>(const FileContent&) const = default;
};

struct ModelInfo {
  std::string path;
  std::uint64_t size_bytes = 0;
  std::string arch;
  std::string name;
  std::string quantization;
  std::uint64_t n_params = 0;
  std::uint32_t n_layers = 0;
  std::uint32_t n_ctx_train = 0;
  std::uint32_t n_vocab = 0;
  std::optional<std::string> chat_template;
  std::string bos;  // text of the token that begins a prompt
  std::string eos;
  bool adds_bos = false;  // tokenizing puts it there
  bool generates = true;  // one token after another; encoders only turn text into vectors
  std::string pooling;    // by which it does that, as the file says: mean, cls, last; else empty
  std::uint32_t n_embd = 0;
};

// A model file opened without its weights. Tokenizing is thread-safe; planning a context is not.
class DryModel {
 public:
  DryModel(FileIdentity identity, const Device& device, FileContent content = {});

  const FileIdentity& identity() const { return identity_; }
  const FileContent& content() const { return content_; }
  const ModelInfo& info() const { return info_; }
  const llama_vocab* vocab() const { return llama_model_get_vocab(model_.get()); }

  // Throws PromptTooLong without tokenizing when the text cannot fit into `limit` tokens.
  std::vector<llama_token> tokenize(const std::string& text, std::uint32_t limit) const;

  // The same, cut to the limit; what the tokenizer puts at the end of a text stays at its end.
  std::vector<llama_token> tokenize_cut(const std::string& text, std::uint32_t limit) const;

  // The tokens that stand for exactly these texts; a text that is no token of its own is left out.
  std::vector<llama_token> control_tokens(const std::vector<std::string>& texts) const;

  // Throws InvalidRequest when the library makes no such context of this model.
  Footprint footprint(const ContextSpec& spec, const Device& device) const;

  // `weights` are the bytes of all of them on the device.
  ModelLayers layers(const Device& device, Bytes weights) const;

 private:
  FileIdentity identity_;
  FileContent content_;
  ModelHandle model_;
  ModelInfo info_;
  std::size_t longest_token_ = 1;  // bytes
};

// Thread-safe; results are kept per content of a file, device and spec.
class Estimator {
 public:
  explicit Estimator(Device device) : device_(std::move(device)) {}

  // Throws ModelFileError.
  std::shared_ptr<const DryModel> open(const std::string& path);

  // `spec` is normalised first. Throws ModelFileError, or InvalidRequest when the library makes no
  // such context of this model.
  Footprint estimate(const std::shared_ptr<const DryModel>& model, const ContextSpec& spec);
  Footprint estimate(const std::string& path, const ContextSpec& spec);

  // How its layers could be streamed, or why they cannot.
  std::shared_ptr<const ModelLayers> layers(const std::shared_ptr<const DryModel>& model);

 private:
  // A file at one moment: any write changes the time of its last change, and nobody can set that.
  struct Version {
    FileIdentity identity;
    std::int64_t changed_ns = 0;

    bool operator==(const Version&) const = default;
  };

  static Version version_of(const std::string& path);
  static FileContent content_of(const Version& version);
  std::shared_ptr<const DryModel> open_locked(const Version& version, const FileContent& content);

  Device device_;
  std::mutex mutex_;
  std::map<std::string, std::pair<Version, FileContent>> seen_;  // the last version, by path
  std::list<std::shared_ptr<const DryModel>> recent_;            // most recently used first
  std::map<FileContent, std::map<ContextSpec, Footprint>> known_;
  std::map<FileContent, std::shared_ptr<const ModelLayers>> layers_;
};

}  // namespace lmx
