#pragma once
// HTTP as handlers see it: plain types, no Beast, no Asio.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/loop.hpp"
#include "base/result.hpp"
#include "base/task.hpp"

namespace haechi::net {

enum class Method : std::uint8_t { Get, Head, Put, Post, Delete, Patch, Options, Other };
std::string_view to_string(Method m);

/// A request body that a handler reads as it arrives (routes with `Body::Stream`).
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  /// The next bytes; empty at the end. The view holds until the next call.
  /// Errc::TooLarge past the route's limit, Errc::Timeout from a slow sender,
  /// Errc::Cancelled when the client has gone.
  virtual Task<Result<std::string_view>> read() = 0;
  /// From Content-Length, where the client sent one.
  virtual std::optional<std::uint64_t> size_hint() const = 0;
};

/// One request. Views point into the connection's memory and hold until the
/// handler's task ends.
struct Request {
  Method method = Method::Get;
  std::string_view target;  ///< as it stood on the request line
  std::string_view path;    ///< still percent-encoded
  std::string_view query;   ///< after '?', still percent-encoded
  std::vector<std::pair<std::string_view, std::string_view>> headers;
  std::string_view body;            ///< whole, for buffered routes
  BodyReader* stream = nullptr;     ///< for streamed routes
  std::vector<std::string> params;  ///< path parameters, decoded, in order
  std::string_view peer;            ///< the client's address (X-Forwarded-For where that is trusted)
  bool tls = false;
  Canceller* canceller = nullptr;  ///< fires when the client goes away
  std::string_view route;          ///< the pattern that matched, for logs and metrics

  /// Case-insensitive; empty when absent.
  std::string_view header(std::string_view name) const;
  /// Decoded; nothing when absent or broken.
  std::optional<std::string> param(std::string_view query_name) const;
  /// Every value of a repeated query parameter.
  std::vector<std::string> params_all(std::string_view query_name) const;
  std::optional<std::int64_t> param_int(std::string_view query_name) const;
};

/// An open file that closes when the last holder lets go.
class File {
 public:
  static Result<std::shared_ptr<const File>> open(const std::string& path);
  explicit File(int fd, std::uint64_t size) : fd_(fd), size_(size) {}
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }
  std::uint64_t size() const { return size_; }

 private:
  int fd_;
  std::uint64_t size_;
};

struct FileRange {
  std::shared_ptr<const File> file;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// Bytes shared by many answers (an event serialised once).
using SharedBytes = std::shared_ptr<const std::string>;

struct Response {
  int status = 200;
  /// Static text: it is read after the handler has ended. Empty for no Content-Type
  /// header, or to set a computed one through `headers`.
  std::string_view content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::variant<std::string, SharedBytes, FileRange> body;

  static Response of_json(std::string text) { return {.body = std::move(text)}; }
  static Response empty_object() { return {.body = std::string("{}")}; }
};

using Handler = std::function<Task<Result<Response>>(Request&)>;

}  // namespace haechi::net
