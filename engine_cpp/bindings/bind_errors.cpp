// C++ errors become the classes of lmx.engine.errors; log lines are handed over on request.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings.hpp"
#include "lmx/base/errors.hpp"
#include "lmx/base/log.hpp"

namespace nb = nanobind;

namespace lmx {
namespace {

template <typename... Args>
void raise(const char* class_name, const Args&... args) {
  try {
    const nb::object type = nb::module_::import_("lmx.engine.errors").attr(class_name);
    const nb::object error = type(args...);
    PyErr_SetObject(type.ptr(), error.ptr());
  } catch (nb::python_error& failure) {
    failure.restore();
  }
}

void translate(const std::exception_ptr& error, void*) {
  try {
    std::rethrow_exception(error);
  } catch (const NeverFits& e) {
    const Denial& numbers = e.numbers();
    raise("NeverFits", std::string(e.what()), numbers.needs, numbers.cap, numbers.free);
  } catch (const ModelFileError& e) {
    raise("ModelFileError", std::string(e.what()));
  } catch (const PromptTooLong& e) {
    raise("PromptTooLong", std::string(e.what()));
  } catch (const InvalidRequest& e) {
    raise("InvalidRequest", std::string(e.what()));
  } catch (const DeadlineExceeded& e) {
    raise("DeadlineExceeded", std::string(e.what()));
  } catch (const Cancelled& e) {
    raise("Cancelled", std::string(e.what()));
  } catch (const Error& e) {
    raise("EngineError", std::string(e.what()));
  }
}

int python_level(LogLevel level) {
  switch (level) {
    case LogLevel::error:
      return 40;
    case LogLevel::warning:
      return 30;
    case LogLevel::info:
      return 20;
    case LogLevel::debug:
      return 10;
  }
  return 10;
}

}  // namespace

void bind_errors(nb::module_& module) {
  nb::register_exception_translator(translate);
  module.def(
      "drain_logs",
      [] {
        std::vector<std::pair<int, std::string>> lines;
        for (LogLine& line : drain_logs()) {
          lines.emplace_back(python_level(line.level), std::move(line.text));
        }
        return lines;
      },
      "The log lines since the last call, as (logging level, text).");
}

}  // namespace lmx
