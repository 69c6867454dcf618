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

// Messages quote model files, which may say anything.
nb::object readable(const std::string& text) {
  return nb::steal(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

template <typename... Args>
void raise(const char* class_name, const std::string& message, const Args&... args) {
  try {
    const nb::object type = nb::module_::import_("lmx.engine.errors").attr(class_name);
    const nb::object error = type(readable(message), args...);
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
  } catch (const OutOfMemory& e) {
    raise("OutOfMemory", std::string(e.what()));
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
        nb::list lines;
        for (const LogLine& line : drain_logs()) {
          lines.append(nb::make_tuple(python_level(line.level), readable(line.text)));
        }
        return lines;
      },
      nb::sig("def drain_logs() -> list[tuple[int, str]]"),
      "The log lines since the last call, as (logging level, text).");
}

}  // namespace lmx
