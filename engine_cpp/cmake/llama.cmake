# Finds the libllama that the llama-cpp-python package has installed, so that one llama.cpp serves
# both, and refuses any other version: some symbols that we use are not declared by its headers.
set(LMX_LLAMA_CPP_PYTHON "0.3.36")

execute_process(
  COMMAND ${Python_EXECUTABLE} -c
          "from importlib.metadata import distribution as d; x = d('llama-cpp-python'); print(x.version, x.locate_file(''), sep=';')"
  OUTPUT_STRIP_TRAILING_WHITESPACE OUTPUT_VARIABLE lmx_llama_found ERROR_QUIET)
list(LENGTH lmx_llama_found lmx_llama_parts)
if(NOT lmx_llama_parts EQUAL 2)
  message(FATAL_ERROR "llama-cpp-python is not installed for ${Python_EXECUTABLE}: "
                      "pip install llama-cpp-python==${LMX_LLAMA_CPP_PYTHON}, then build with "
                      "pip install --no-build-isolation")
endif()
list(GET lmx_llama_found 0 lmx_llama_version)
list(GET lmx_llama_found 1 lmx_llama_site)
if(NOT lmx_llama_version STREQUAL LMX_LLAMA_CPP_PYTHON)
  message(FATAL_ERROR "llama-cpp-python ${lmx_llama_version} is installed, but lmx-engine is "
                      "written for ${LMX_LLAMA_CPP_PYTHON}")
endif()
list(APPEND CMAKE_PREFIX_PATH "${lmx_llama_site}")
find_package(llama CONFIG REQUIRED)
