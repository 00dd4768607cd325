#include "net/response_head.hpp"

#include <charconv>
#include <ctime>

#include "base/log.hpp"
#include "net/router.hpp"

namespace haechi::net {
namespace {

void append_number(std::string& out, std::uint64_t n) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, n).ptr;
  out.append(digits, end);
}

/// RFC 9110, 5.6.7: always the same length.
std::string http_date(WallMs wall_ms) {
  const auto seconds = static_cast<std::time_t>(wall_ms / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[40];
  const std::size_t n = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return {text, n};
}

/// A header that carries a line end would become two: response splitting.
bool one_line(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

}  // namespace

ResponseHead::ResponseHead(const Clock& clock, bool cors) : clock_(clock) {
  common_ = "Date: ";
  date_at_ = common_.size();
  common_ += http_date(0) + "\r\nX-Content-Type-Options: nosniff\r\n";
  if (cors) {
    // Matrix client-server API, "Web browser clients".
    common_ +=
        "Access-Control-Allow-Origin: *\r\n"
        "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS\r\n"
        "Access-Control-Allow-Headers: X-Requested-With, Content-Type, Authorization, Date\r\n";
  }
}

void ResponseHead::append(std::string& out, const Response& response, std::uint64_t length, Extra extra, Instant now) {
  if (now >= renew_at_) {
    const std::string date = http_date(clock_.wall_ms());
    common_.replace(date_at_, date.size(), date);
    renew_at_ = now + std::chrono::milliseconds(500);
  }
  if (response.status == 200) {
    out += "HTTP/1.1 200 OK\r\n";
  } else {
    out += "HTTP/1.1 ";
    append_number(out, static_cast<std::uint64_t>(response.status));
    out += ' ';
    out += reason_phrase(response.status);
    out += "\r\n";
  }
  out += common_;
  if (!response.content_type.empty() && response.status != 204) {
    out += "Content-Type: ";
    out += response.content_type;
    out += "\r\n";
  }
  // RFC 9110, 8.6: none in a 204; a 304 would have to name the length of the 200.
  if (response.status != 204 && response.status != 304) {
    out += "Content-Length: ";
    append_number(out, length);
    out += "\r\n";
  }
  if (extra.gzipped) out += "Content-Encoding: gzip\r\n";
  if (extra.vary) out += "Vary: Accept-Encoding\r\n";
  if (extra.persist == Persist::Close) out += "Connection: close\r\n";
  if (extra.persist == Persist::KeepAlive) out += "Connection: keep-alive\r\n";
  for (const auto& [name, value] : response.headers) {
    if (!one_line(name) || !one_line(value)) {
      log::error("a response header with a line end was left out", {{"status", response.status}});
      continue;
    }
    out += name;
    out += ": ";
    out += value;
    out += "\r\n";
  }
  out += "\r\n";
}

std::uint64_t body_length(const Response& response) {
  if (const auto* text = std::get_if<std::string>(&response.body)) return text->size();
  if (const auto* shared = std::get_if<SharedBytes>(&response.body)) return *shared ? (*shared)->size() : 0;
  return std::get<FileRange>(response.body).length;
}

}  // namespace haechi::net
