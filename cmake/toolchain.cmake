# One compiler, one set of warnings, for every target.
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  message(FATAL_ERROR
    "Haechi is built with clang 19 or later (Debian package clang-19): g++ before 13 destroys "
    "temporaries twice in some co_await expressions. Use ./dev build, or set CXX=clang++-19.")
endif()

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)

option(HAECHI_FUZZ "build the libFuzzer targets" OFF)
set(HAECHI_SANITIZE "" CACHE STRING "sanitizers, as -fsanitize takes them")

add_library(haechi_options INTERFACE)
target_include_directories(haechi_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(haechi_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Werror
  # Aggregates with defaults are how options are passed; naming all of them defeats that.
  -Wno-missing-designated-field-initializers -Wno-missing-field-initializers
  # PCH and ccache agree on time stamps only this way.
  -Xclang -fno-pch-timestamp)
target_compile_definitions(haechi_options INTERFACE
  HAECHI_VERSION="${PROJECT_VERSION}" SPDLOG_FMT_EXTERNAL SPDLOG_COMPILED_LIB
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED)
if(HAECHI_SANITIZE)
  target_compile_options(haechi_options INTERFACE -fsanitize=${HAECHI_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=undefined)
  target_link_options(haechi_options INTERFACE -fsanitize=${HAECHI_SANITIZE})
endif()
if(HAECHI_FUZZ)
  target_compile_options(haechi_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

find_program(HAECHI_MOLD mold)
find_program(HAECHI_LLD ld.lld-19)
if(HAECHI_MOLD AND NOT HAECHI_SANITIZE)
  target_link_options(haechi_options INTERFACE -fuse-ld=mold)
elseif(HAECHI_LLD AND NOT HAECHI_SANITIZE)  # with sanitizers, GNU ld: lld refuses Asio's type infos in discarded sections
  target_link_options(haechi_options INTERFACE --ld-path=${HAECHI_LLD})
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(sqlite REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(pq REQUIRED IMPORTED_TARGET libpq)
pkg_check_modules(vips REQUIRED IMPORTED_TARGET vips)
# Its -pthread would not match the precompiled header.
set_property(TARGET PkgConfig::vips PROPERTY INTERFACE_COMPILE_OPTIONS "")
pkg_check_modules(curl REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(xml2 REQUIRED IMPORTED_TARGET libxml-2.0)

# What nearly every file includes, parsed once.
file(WRITE ${CMAKE_BINARY_DIR}/pch_source.cpp "")
add_library(haechi_pch OBJECT ${CMAKE_BINARY_DIR}/pch_source.cpp)
target_link_libraries(haechi_pch PRIVATE haechi_options)
target_precompile_headers(haechi_pch PRIVATE
  <algorithm> <array> <atomic> <chrono> <coroutine> <cstdint> <deque> <expected> <functional> <map>
  <memory> <mutex> <optional> <random> <span> <string> <string_view> <thread> <tuple> <unordered_map> <unordered_set>
  <utility> <variant> <vector> <boost/json.hpp> <fmt/format.h>)
