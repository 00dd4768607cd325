#include "cluster/asker.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

using namespace haechi;
using namespace haechi::cluster;
using std::chrono::milliseconds;
using How = Answer::How;

namespace {

/// A listening socket on a free port; what becomes of connections is the test's affair.
struct Listener {
  Listener() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&at), size) == 0);
    REQUIRE(::listen(fd, 8) == 0);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
    url = "http://127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  }
  ~Listener() { close(); }
  void close() {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }
  int fd;
  std::string url;
};

/// Reads one request and answers it.
std::string answer_once(const Listener& listener, std::string_view with) {
  const int c = ::accept(listener.fd, nullptr, nullptr);
  std::string request;
  char buffer[4096];
  while (!request.contains("\r\n\r\n")) {
    const auto n = ::recv(c, buffer, sizeof buffer, 0);
    if (n <= 0) break;
    request.append(buffer, static_cast<std::size_t>(n));
  }
  [[maybe_unused]] const auto n = ::send(c, with.data(), with.size(), MSG_NOSIGNAL);
  ::close(c);
  return request;
}

struct World {
  ManualClock clock;
  ManualLoop loop{clock};
  HttpAsker asker{loop, ""};
};

}  // namespace

TEST_CASE("an answer comes back with its status and body, and a body and its type go out") {
  World w;
  Listener listener;
  std::string request;
  std::jthread server(
      [&] { request = answer_once(listener, "HTTP/1.0 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"); });
  const auto a = w.loop.run(w.asker.ask(
      {.method = "PATCH", .url = listener.url + "/config", .body = "{\"x\":1}", .content_type = "application/json"}));
  server.join();
  CHECK(a.answered());
  CHECK_FALSE(a.ok());
  CHECK(a.status == 503);
  CHECK(a.body == "busy");
  CHECK(request.starts_with("PATCH /config HTTP/1.1\r\n"));
  CHECK(request.contains("Content-Type: application/json\r\n"));
}

TEST_CASE("who refuses is told from who is silent") {
  World w;
  Listener silent, gone;
  gone.close();
  CHECK(w.loop.run(w.asker.ask({.url = gone.url})).how == How::Refused);
  CHECK(w.loop.run(w.asker.ask({.url = silent.url, .timeout = milliseconds(50)})).how == How::Silent);
  CHECK(w.loop.run(w.asker.ask({.url = "no URL", .timeout = milliseconds(50)})).how == How::Silent);
}

TEST_CASE("whether anybody listens can be asked without a word") {
  World w;
  Listener open, gone;
  gone.close();
  CHECK(w.loop.run(w.asker.ask({.url = open.url, .connect_only = true})).how == How::Answered);
  CHECK(w.loop.run(w.asker.ask({.url = gone.url, .connect_only = true})).how == How::Refused);
}

TEST_CASE("questions that are open when it stops are answered by silence, and so are later ones") {
  World w;
  Listener silent;
  struct Ask {
    static Task<void> go(HttpAsker& asker, std::string url, How& how) {
      how = (co_await asker.ask({.url = std::move(url), .timeout = std::chrono::seconds(60)})).how;
    }
  };
  How how = How::Refused;
  Scope scope;
  scope.spawn(Ask::go(w.asker, silent.url, how));
  w.asker.stop();
  w.loop.run_until([&] { return scope.running() == 0; });
  CHECK(how == How::Silent);
  CHECK(w.loop.run(w.asker.ask({.url = silent.url})).how == How::Silent);
}
