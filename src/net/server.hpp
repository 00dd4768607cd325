#pragma once
// The HTTP/1.1 server: readiness by Asio, parsing by Beast, TLS by OpenSSL.

#include <cstdint>
#include <memory>
#include <string>

#include "base/loop.hpp"
#include "base/metrics.hpp"
#include "net/router.hpp"

namespace haechi::net {

struct ServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;            ///< 0: any free one
  std::string tls_certificate_file;  ///< PEM; both empty: plain HTTP
  std::string tls_key_file;
  std::size_t header_bytes_max = 32 * 1024;
  std::uint64_t body_bytes_max = 1024 * 1024;  ///< of buffered routes without their own limit
  std::size_t pipelined_max = 64;              ///< requests of one connection under way at once
  std::size_t connections_max = 1'000'000;
  std::size_t connections_per_address_max = 0;  ///< 0: no limit
  Duration header_timeout = std::chrono::seconds(15);
  Duration body_timeout = std::chrono::seconds(60);   ///< without a single byte
  Duration idle_timeout = std::chrono::seconds(90);   ///< between requests
  Duration write_timeout = std::chrono::seconds(60);  ///< without a single byte taken
  std::size_t gzip_bytes_min = 1400;                  ///< smaller answers go out as they are
  bool access_log = false;
  bool trust_forwarded_for = false;
  bool cors = true;  ///< Matrix's CORS headers on every answer, OPTIONS answered here
};

/// Asio's io_context as the house's Loop. One thread calls run().
class AsioLoop final : public Loop {
 public:
  explicit AsioLoop(const Clock& clock);
  ~AsioLoop() override;
  void post(std::move_only_function<void()> f) override;
  void defer(std::coroutine_handle<> h) override;
  TimerQueue& timers() override;
  const Clock& clock() const override;
  /// Until stop().
  void run();
  void stop();
  /// Runs `f` on the loop when one of the signals arrives (SIGTERM, SIGINT).
  void on_signal(std::initializer_list<int> signals, std::function<void(int)> f);
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/// Lifecycle: create (binds and listens), start, drain, destroy. Loop thread only.
class Server {
 public:
  /// Errc::Io names the address, certificate or key that failed.
  static Result<std::unique_ptr<Server>> create(AsioLoop& loop, Router& router, Metrics& metrics,
                                                ServerOptions options);
  virtual ~Server() = default;
  virtual void start() = 0;
  virtual std::uint16_t port() const = 0;
  virtual std::size_t connections() const = 0;
  /// While on, clients are asked to go elsewhere, without a failed request: what waits for longer than
  /// a moment is told to answer, and each connection closes after its next answer. What arrives all the
  /// same is served. Long polls that come later end when this is called again.
  virtual void send_away(bool on) = 0;
  /// No new connections; idle ones close; running requests end, long polls are
  /// cancelled (their handlers answer early). Returns when none is left or at
  /// `deadline`, when the rest is cut.
  virtual Task<void> drain(Duration deadline) = 0;
  /// After drain(): waits a little longer for handlers whose connections were cut. False when some
  /// still run after `patience`: then what they use must not be destroyed.
  virtual Task<bool> finish(Duration patience) = 0;
};

}  // namespace haechi::net
