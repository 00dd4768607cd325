#pragma once
// Which handler answers which path, and the one place where an Error becomes an answer.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.hpp"
#include "net/http.hpp"

namespace haechi::net {

enum class Body : std::uint8_t { Buffered, Stream };

struct RouteOptions {
  Body body = Body::Buffered;
  /// 0: the server's default.
  std::uint64_t body_bytes_max = 0;
};

/// How T is read from a decoded path segment. Specialise for id types:
/// `static Result<T> parse(std::string text)`.
template <class T>
struct PathParam;
template <>
struct PathParam<std::string> {
  static Result<std::string> parse(std::string text) { return text; }
};

class Router {
 public:
  struct Route {
    Method method;
    std::string pattern;
    Handler handler;
    RouteOptions options;
    Histogram* seconds = nullptr;  ///< set by the server
  };
  struct Match {
    const Route* route = nullptr;     ///< null: no such path, or wrong method
    bool path_known = false;          ///< true with a null route: 405
    std::vector<std::string> params;  ///< decoded
    std::string allow;                ///< for 405: "GET, PUT"
  };
  /// Turns an Error into the answer of one API ("/_matrix": errcode; "/_haechi": problem+json).
  using ErrorRenderer = std::function<Response(const Error&)>;

  /// `pattern` is like "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}";
  /// a final `{name...}` takes the rest of the path, slashes included, and may be empty.
  /// Literal segments win over parameters. Throws when the same route is added twice.
  void add(Method method, std::string pattern, Handler handler, RouteOptions options = {});

  /// Typed path parameters: `router.on<RoomId, std::string>(Method::Get, "/rooms/{}/x/{}", f)` calls
  /// `f(Request&, RoomId, std::string)`; a segment that does not parse is answered before `f` runs.
  template <class... P, class F>
  void on(Method method, std::string pattern, F f, RouteOptions options = {}) {
    add(
        method, std::move(pattern),
        [f = std::move(f)](Request& req) -> Task<Result<Response>> {
          return invoke<F, P...>(f, req, std::index_sequence_for<P...>{});
        },
        options);
  }

  /// A second pattern for the same handlers: `alias("/_matrix/client/r0", "/_matrix/client/v3")`
  /// makes every path below the second reachable below the first.
  void alias(std::string prefix, std::string target_prefix);

  /// The longest matching prefix renders; "" is the fallback.
  void render_errors(std::string prefix, ErrorRenderer renderer);

  Match match(Method method, std::string_view raw_path) const;
  Response render(std::string_view raw_path, const Error& error) const;
  std::vector<Route*> routes();

  Router();
  ~Router();
  Router(Router&&) noexcept;

 private:
  template <class F, class... P, std::size_t... I>
  static Task<Result<Response>> invoke(const F& f, Request& req, std::index_sequence<I...>) {
    auto parsed = std::tuple<Result<P>...>(PathParam<P>::parse(std::move(req.params[I]))...);
    std::optional<Error> wrong;
    ((std::get<I>(parsed) ? void() : void(wrong ? wrong : wrong.emplace(std::move(std::get<I>(parsed).error())))), ...);
    if (wrong) return refuse(*std::move(wrong));
    return f(req, *std::move(std::get<I>(parsed))...);
  }
  static Task<Result<Response>> refuse(Error e) { co_return std::unexpected(std::move(e)); }

  struct Node;
  std::unique_ptr<Node> root_;
  std::vector<std::unique_ptr<Route>> routes_;
  std::vector<std::pair<std::string, std::string>> aliases_;
  std::map<std::string, ErrorRenderer, std::less<>> renderers_;
};

/// Errors that net/ itself makes; renderers turn them into their API's words.
enum class Errc {
  Ok = 0,
  UnknownPath,
  WrongMethod,
  HeaderTooLarge,
  BodyTooLarge,
  SlowClient,
  BadRequest,
  TooManyConnections,
  Draining
};
const std::error_category& net_category() noexcept;

/// The status that net/'s and base/'s errors mean when nobody says otherwise; 500 for what it does not know.
int default_status(const Error& error);
/// RFC 9457, the renderer of paths that have no other.
Response render_problem(const Error& error);
std::string_view reason_phrase(int status);

inline std::error_code make_error_code(Errc c) noexcept { return {static_cast<int>(c), net_category()}; }

}  // namespace haechi::net

template <>
struct std::is_error_code_enum<haechi::net::Errc> : std::true_type {};
