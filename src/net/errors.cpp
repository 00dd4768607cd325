#include "base/text.hpp"
#include "net/router.hpp"

namespace haechi::net {
namespace {

class NetCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "net"; }
  std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::Ok: return "no error";
      case Errc::UnknownPath: return "there is nothing at this path";
      case Errc::WrongMethod: return "this path does not answer that method";
      case Errc::HeaderTooLarge: return "the request header is too large";
      case Errc::BodyTooLarge: return "the request body is too large";
      case Errc::SlowClient: return "the request took too long to arrive";
      case Errc::BadRequest: return "this is not a well-formed HTTP request";
      case Errc::TooManyConnections: return "too many connections";
      case Errc::Draining: return "this node is shutting down";
    }
    return "unknown error";
  }
};

}  // namespace

const std::error_category& net_category() noexcept {
  static const NetCategory category;
  return category;
}

int default_status(const Error& error) {
  if (error.code.category() == net_category()) {
    switch (static_cast<Errc>(error.code.value())) {
      case Errc::UnknownPath: return 404;
      case Errc::WrongMethod: return 405;
      case Errc::HeaderTooLarge: return 431;
      case Errc::BodyTooLarge: return 413;
      case Errc::SlowClient: return 408;
      case Errc::BadRequest: return 400;
      case Errc::TooManyConnections:
      case Errc::Draining: return 503;
      case Errc::Ok: break;
    }
  } else if (error.code.category() == base_category()) {
    switch (static_cast<haechi::Errc>(error.code.value())) {
      case haechi::Errc::Invalid: return 400;
      case haechi::Errc::NotFound: return 404;
      case haechi::Errc::Conflict: return 409;
      case haechi::Errc::TooLarge: return 413;
      case haechi::Errc::Timeout: return 504;
      case haechi::Errc::Overloaded:
      case haechi::Errc::Cancelled:
      case haechi::Errc::Unavailable: return 503;
      case haechi::Errc::Ok:
      case haechi::Errc::Io:
      case haechi::Errc::Broken: break;
    }
  }
  return 500;
}

Response render_problem(const Error& error) {
  const int status = default_status(error);
  std::string body = R"({"type":"about:blank","status":)" + std::to_string(status) + R"(,"title":)";
  append_json_string(body, reason_phrase(status));
  body += R"(,"detail":)";
  // What went wrong inside is for the log, not for strangers.
  append_json_string(body, status == 500 ? std::string_view("something went wrong inside") : error.message);
  if (!error.detail.empty()) body += "," + error.detail;
  body += '}';
  Response out{.status = status, .content_type = "application/problem+json", .body = std::move(body)};
  if (status == 503) out.headers.emplace_back("Retry-After", "1");
  return out;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Unknown";
  }
}

}  // namespace haechi::net
