#pragma once
// What can be expected to fail is a value. `Result<T>` is `std::expected<T, Error>`;
// every module has one `Errc` with its own `std::error_category`, so an `Error`
// knows what went wrong without knowing how it will be shown to a client.

#include <expected>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace haechi {

/// Failures that belong to no module: they can happen under any of them.
enum class Errc {
  Ok = 0,
  Invalid,  ///< input that a parser refused
  NotFound,
  Conflict,
  Overloaded,   ///< a bounded queue is full; try again later
  Timeout,      ///< a deadline passed; whether the work was done may be unknown
  Cancelled,    ///< the caller went away
  Unavailable,  ///< something this node needs cannot be reached now
  Io,           ///< the operating system or the database said no
  TooLarge,
  Broken,  ///< a promise was dropped without an answer: our bug
};

const std::error_category& base_category() noexcept;
std::error_code make_error_code(Errc code) noexcept;

struct Error {
  std::error_code code;
  /// For people: says what was wrong with what. Never holds a secret.
  std::string message;
  /// JSON members that the answer carries besides the code and the message,
  /// already serialised without braces, for example `"retry_after_ms":1000`.
  std::string detail;

  Error(std::error_code c, std::string m, std::string d = {}) : code(c), message(std::move(m)), detail(std::move(d)) {}

  template <class E>
    requires std::is_error_code_enum_v<E>
  Error(E e, std::string m, std::string d = {})
      : code(make_error_code(e)), message(std::move(m)), detail(std::move(d)) {}

  /// "store: disk I/O error": the way up adds where it was.
  Error&& in(std::string_view where) && {
    message.insert(0, std::string(where) + ": ");
    return std::move(*this);
  }
  template <class E>
    requires std::is_error_code_enum_v<E>
  bool is(E e) const {
    return code == make_error_code(e);
  }
};

template <class T = void>
using Result = std::expected<T, Error>;

template <class E>
std::unexpected<Error> fail(E code, std::string message, std::string detail = {}) {
  return std::unexpected<Error>(Error(code, std::move(message), std::move(detail)));
}

}  // namespace haechi

template <>
struct std::is_error_code_enum<haechi::Errc> : std::true_type {};

#define HAECHI_CAT_(a, b) a##b
#define HAECHI_CAT(a, b) HAECHI_CAT_(a, b)

#define HAECHI_TRY_(tmp, ret, decl, ...)                 \
  auto tmp = __VA_ARGS__;                                \
  if (!tmp) ret std::unexpected(std::move(tmp).error()); \
  decl = *std::move(tmp)
#define HAECHI_CHECK_(tmp, ret, ...) \
  if (auto tmp = __VA_ARGS__; !tmp) ret std::unexpected(std::move(tmp).error())

/// `TRY(auto x, f());` declares x from a Result or returns its error.
#define TRY(decl, ...) HAECHI_TRY_(HAECHI_CAT(try_, __COUNTER__), return, decl, __VA_ARGS__)
/// `TRY_DO(f());` for a Result whose value nobody needs.
#define TRY_DO(...) HAECHI_CHECK_(HAECHI_CAT(try_, __COUNTER__), return, __VA_ARGS__)
/// The same inside coroutines: `CO_TRY(auto x, co_await f());`
#define CO_TRY(decl, ...) HAECHI_TRY_(HAECHI_CAT(try_, __COUNTER__), co_return, decl, __VA_ARGS__)
#define CO_TRY_DO(...) HAECHI_CHECK_(HAECHI_CAT(try_, __COUNTER__), co_return, __VA_ARGS__)
