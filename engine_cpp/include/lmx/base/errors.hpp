// What can go wrong, each with one line that a user can act upon.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "lmx/memory/ledger.hpp"

namespace lmx {

// Base of all errors of the engine.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The model file is missing, damaged or of a kind that cannot be used.
class ModelFileError : public Error {
 public:
  using Error::Error;
};

// The system refused memory that the ledger had free; the same may work when others have ended.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

// A parameter makes no sense; nothing was started.
class InvalidRequest : public Error {
 public:
  using Error::Error;
};

// The prompt has more tokens than the context can hold.
class PromptTooLong : public InvalidRequest {
 public:
  using InvalidRequest::InvalidRequest;
};

// The request is larger than the cap and can therefore never be served.
class NeverFits : public Error {
 public:
  NeverFits(const std::string& what, Denial numbers);
  const Denial& numbers() const { return numbers_; }

 private:
  Denial numbers_;
};

// The request was cancelled, or the engine was closed, before it was complete.
class Cancelled : public Error {
 public:
  using Error::Error;
};

// The request's own deadline passed before it was complete.
class DeadlineExceeded : public Error {
 public:
  using Error::Error;
};

}  // namespace lmx
