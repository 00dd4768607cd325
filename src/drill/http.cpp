#include "drill/http.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/text.hpp"
#include "drill/fd.hpp"
#include "drill/run.hpp"

namespace haechi::drill {
namespace {

constexpr std::size_t kReplyMax = 4u << 20;

struct Target {
  sockaddr_in address{};
  std::string host, path;
};

Result<Target> parse(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  const auto slash = url.find('/', kScheme.size());
  Target t;
  t.host = url.substr(kScheme.size(), slash == std::string::npos ? slash : slash - kScheme.size());
  t.path = slash == std::string::npos ? "/" : url.substr(slash);
  const auto colon = t.host.rfind(':');
  const auto port = colon == std::string::npos ? std::optional<std::int64_t>(80) : parse_int(t.host.substr(colon + 1));
  t.address.sin_family = AF_INET;
  if (!url.starts_with(kScheme) || !port || *port <= 0 || *port > 65'535 ||
      inet_pton(AF_INET, t.host.substr(0, colon).c_str(), &t.address.sin_addr) != 1) {
    return fail(Errc::Invalid, "not http://ADDRESS:PORT/path: " + url);
  }
  t.address.sin_port = htons(static_cast<std::uint16_t>(*port));
  return t;
}

/// Whether `fd` became ready before `due`.
bool ready(int fd, short what, Nanos due) {
  while (true) {
    const Nanos left = due - now_ns();
    if (left <= 0) return false;
    pollfd p{.fd = fd, .events = what, .revents = 0};
    const int n = poll(&p, 1, static_cast<int>(left / kMillisecond) + 1);
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
}

/// Whether the headers and as much body as they promise are there. Without a length it ends with the connection.
bool complete(std::string_view reply) {
  const auto head = reply.find("\r\n\r\n");
  if (head == std::string_view::npos) return false;
  const std::string headers = to_lower_ascii(reply.substr(0, head));
  const auto at = headers.find("\r\ncontent-length:");
  if (at == std::string::npos) return reply.ends_with("0\r\n\r\n") && headers.contains("chunked");
  const auto value = std::string_view(headers).substr(at + 17);
  const auto length = parse_int(trim(value.substr(0, value.find('\r'))));
  return length && reply.size() >= head + 4 + static_cast<std::size_t>(*length);
}

std::string unchunk(std::string_view body) {
  std::string out;
  while (true) {
    const auto line = body.find("\r\n");
    if (line == std::string_view::npos) return out;
    const auto size = std::strtoul(std::string(body.substr(0, line)).c_str(), nullptr, 16);
    if (size == 0 || size > body.size()) return out;
    out += body.substr(line + 2, size);
    body.remove_prefix(std::min(body.size(), line + 2 + size + 2));
  }
}

}  // namespace

Result<HttpReply> http(std::string_view method, const std::string& url, std::string_view body,
                       std::chrono::milliseconds deadline) {
  TRY(const auto target, parse(url));
  const Nanos due = now_ns() + std::chrono::nanoseconds(deadline).count();
  const auto no = [&](const char* why) { return fail(Errc::Unavailable, fmt::format("{}: {}", url, why)); };

  const Fd s(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!s) return no(std::strerror(errno));
  sockaddr address{};
  std::memcpy(&address, &target.address, sizeof target.address);
  if (connect(s.get(), &address, sizeof address) != 0) {
    if (errno != EINPROGRESS) return no(std::strerror(errno));
    if (!ready(s.get(), POLLOUT, due)) return no("no connection in time");
    int code = 0;
    socklen_t size = sizeof code;
    getsockopt(s.get(), SOL_SOCKET, SO_ERROR, &code, &size);
    if (code != 0) return no(std::strerror(code));
  }
  std::string out =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", method, target.path, target.host);
  if (!body.empty()) out += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  out += "\r\n";
  out += body;
  for (std::size_t sent = 0; sent < out.size();) {
    const auto n = send(s.get(), out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
    if (n > 0) sent += static_cast<std::size_t>(n);
    else if (errno != EAGAIN) return no(std::strerror(errno));
    else if (!ready(s.get(), POLLOUT, due)) return no("it takes nothing in time");
  }
  std::string reply;
  char buffer[16'384];
  while (!complete(reply)) {
    const auto n = recv(s.get(), buffer, sizeof buffer, 0);
    if (n > 0) reply.append(buffer, static_cast<std::size_t>(n));
    else if (n == 0) break;
    else if (errno != EAGAIN) return no(std::strerror(errno));
    else if (!ready(s.get(), POLLIN, due)) return no("no answer in time");
    if (reply.size() > kReplyMax) return no("the answer is too long");
  }
  const auto head = reply.find("\r\n\r\n");
  // Patroni answers with HTTP/1.0.
  if (!reply.starts_with("HTTP/1.") || reply.size() < 12 || head == std::string::npos) return no("not an HTTP answer");
  HttpReply r{.status = static_cast<int>(parse_int(std::string_view(reply).substr(9, 3)).value_or(0)), .body = {}};
  const std::string headers = to_lower_ascii(std::string_view(reply).substr(0, head));
  r.body = headers.contains("transfer-encoding: chunked") ? unchunk(std::string_view(reply).substr(head + 4))
                                                          : reply.substr(head + 4);
  return r;
}

bool answers_ok(const std::string& url, std::chrono::milliseconds deadline) {
  const auto reply = http("GET", url, {}, deadline);
  return reply && reply->status == 200;
}

}  // namespace haechi::drill
