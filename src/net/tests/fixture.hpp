#pragma once
// A real server on a real loop in its own thread, and a raw client that blocks.
// Nothing sleeps: the client's reads and the promises below are what tests wait for.

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "base/log.hpp"
#include "net/server.hpp"

namespace haechi::net::test {

inline std::string request(std::string_view line, std::string_view headers = {}, std::string_view body = {}) {
  std::string out(line);
  out += " HTTP/1.1\r\nHost: test\r\n";
  out += headers;
  if (!body.empty()) out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  out += "\r\n";
  out += body;
  return out;
}

struct Reply {
  int status = 0;
  std::string head;
  std::string body;
  std::string header(std::string_view name) const {
    const auto at = head.find("\r\n" + std::string(name) + ": ");
    if (at == std::string::npos) return {};
    const auto from = at + 2 + name.size() + 2;
    return head.substr(from, head.find("\r\n", from) - from);
  }
  bool has(std::string_view name) const { return head.find("\r\n" + std::string(name) + ":") != std::string::npos; }
};

class RawClient {
 public:
  explicit RawClient(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  int fd() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void reset() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void end_sending() { ::shutdown(fd_, SHUT_WR); }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  /// False at the end of the stream.
  bool more() {
    char buffer[65536];
    const auto n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    input_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }
  Reply read(bool head_only = false) {
    Reply out;
    std::size_t end;
    while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return out;
    }
    out.head = input_.substr(0, end + 2);
    input_.erase(0, end + 4);
    out.status = std::stoi(out.head.substr(9, 3));
    const auto length = out.header("Content-Length");
    if (head_only || length.empty()) return out;
    const auto n = std::stoul(length);
    while (input_.size() < n && more()) {
    }
    out.body = input_.substr(0, n);
    input_.erase(0, n);
    return out;
  }
  Reply ask(std::string_view bytes) {
    send(bytes);
    return read();
  }
  /// Everything until the server closes.
  std::string read_to_end() {
    while (more()) {
    }
    return std::exchange(input_, {});
  }
  bool closed() { return input_.empty() && !more(); }

 private:
  int fd_;
  std::string input_;
};

class TestServer {
 public:
  /// Runs `f` on the loop and waits for it.
  template <class F>
  auto on_loop(F f) {
    std::promise<decltype(f())> done;
    auto result = done.get_future();
    loop.post([&] {
      if constexpr (std::is_void_v<decltype(f())>) {
        f();
        done.set_value();
      } else {
        done.set_value(f());
      }
    });
    return result.get();
  }
  explicit TestServer(const std::function<void(Router&, AsioLoop&)>& routes, ServerOptions options = {}) : loop(clock) {
    routes(router, loop);
    auto made = Server::create(loop, router, metrics, std::move(options));
    REQUIRE_MESSAGE(made.has_value(), (made ? std::string() : made.error().message));
    server = *std::move(made);
    port = server->port();
    server->start();
    thread = std::thread([this] { loop.run(); });
  }
  ~TestServer() {
    on_loop([this] { server.reset(); });
    loop.post([this] { loop.stop(); });
    thread.join();
  }
  std::shared_ptr<RawClient> client() const { return std::make_shared<RawClient>(port); }

  SystemClock clock;
  AsioLoop loop;
  Metrics metrics;
  Router router;
  std::unique_ptr<Server> server;
  std::uint16_t port = 0;
  std::thread thread;
};

inline Task<Result<Response>> echo(Request& req) {
  co_return Response::of_json(std::string(to_string(req.method)) + " " + std::string(req.path) + " " +
                              std::string(req.body));
}

}  // namespace haechi::net::test
