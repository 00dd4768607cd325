#pragma once
// One thread, one epoll, many keep-alive connections with at most one request in
// flight each. Built to cost little: requests are ready-made strings, readiness is
// edge-triggered and registered once, a response is parsed in the shared receive buffer.

#include <netinet/in.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/response_parser.hpp"

namespace haechi::bench {

/// Nanoseconds on CLOCK_MONOTONIC: the same in every process of a machine.
std::int64_t now_ns();
inline constexpr std::int64_t kSecond = 1'000'000'000;
inline constexpr std::int64_t kMillisecond = 1'000'000;

struct Endpoint {
  sockaddr_in address{};
  std::string host;  ///< for the Host header
  std::string path;  ///< prefix without a trailing slash

  /// `http://name[:port][/prefix]`; throws std::runtime_error when it is not one.
  static Endpoint parse(std::string_view url);
};

struct Response {
  int status = 0;  ///< 0: the connection failed again and again
  std::string_view body;
  std::uint64_t body_bytes = 0;
};

class Engine;
class Connection;

class Handler {
 public:
  virtual ~Handler() = default;
  /// May send the next request on the same connection; that ends the life of the response's body.
  virtual void on_response(Connection& connection, const Response& response) = 0;
};

/// Lives on the engine's thread; destroying it closes the socket. Not to be destroyed from
/// within a handler: the engine may hold more readiness for it.
class Connection {
 public:
  Connection(Engine& engine, const Endpoint& endpoint, Handler& handler, std::size_t tag);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Sends a request; none may be in flight. `head` is copied, `body` must stay until the response.
  /// A connection that breaks is opened anew and the request repeated, three times at most.
  void send(std::string_view head, std::string_view body = {}, BodyMode mode = BodyMode::Keep);
  /// Sends the last request again after a while (the server asked for patience).
  void repeat_after(std::int64_t delay_ns);

  bool busy() const { return busy_; }
  std::size_t tag() const { return tag_; }
  /// When the request was handed over first; repeats do not move it.
  std::int64_t sent_at() const { return sent_at_; }

 private:
  friend class Engine;
  void open();
  void close();
  void write_some();
  void on_ready(std::uint32_t events);
  void read_some();
  void respond(int status);
  void broken();

  Engine& engine_;
  const Endpoint& endpoint_;
  Handler& handler_;
  std::size_t tag_;
  int fd_ = -1;
  bool connected_ = false;
  bool busy_ = false;
  int attempts_ = 0;
  std::uint64_t timer_ = 0;
  std::string head_;
  std::string_view body_;
  std::size_t written_ = 0;
  BodyMode mode_ = BodyMode::Keep;
  std::int64_t sent_at_ = 0;
  ResponseParser parser_;
};

class Engine {
 public:
  Engine();
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Handles readiness, timers and the pace until `end_ns` or until `stop` says so.
  void run_until(std::int64_t end_ns, const std::function<bool()>& stop = {});

  /// Calls `fire(intended)` for every multiple of the interval from `first_ns` on, each
  /// as soon as its time has come, however late the loop is: an open loop. 0 turns it off.
  void pace(std::int64_t first_ns, double interval_ns, std::function<void(std::int64_t)> fire);
  void stop_pace() { pace_interval_ = 0; }

  /// Returns an id for cancel().
  std::uint64_t after(std::int64_t delay_ns, std::function<void()> fire);
  void cancel(std::uint64_t id);

  /// Called about once a second from run_until().
  std::function<void(std::int64_t)> on_second;

  std::uint64_t reconnects = 0;
  /// Connections that the engine has open.
  std::size_t open_connections = 0;

 private:
  friend class Connection;
  void fire_due(std::int64_t now);

  struct Timer {
    std::uint64_t id;
    std::function<void()> fire;
  };
  int epoll_;
  std::vector<char> buffer_;
  std::multimap<std::int64_t, Timer> timers_;
  std::uint64_t next_timer_ = 1;
  std::int64_t next_second_ = 0;
  std::int64_t pace_first_ = 0;
  double pace_interval_ = 0;
  std::uint64_t pace_count_ = 0;
  std::int64_t pace_next_ = 0;
  std::function<void(std::int64_t)> pace_fire_;
};

}  // namespace haechi::bench
