#include "net/server.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <csignal>

#include "base/log.hpp"
#include "net/connection.hpp"

namespace haechi::net {
namespace {

using asio::ip::tcp;

std::string address_text(const sockaddr_storage& from) {
  if (from.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&from);
    return asio::ip::address_v4(ntohl(v4->sin_addr.s_addr)).to_string();
  }
  asio::ip::address_v6::bytes_type bytes;
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&from);
  std::copy_n(v6->sin6_addr.s6_addr, bytes.size(), bytes.begin());
  const asio::ip::address_v6 address(bytes);
  if (address.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, address).to_string();
  return address.to_string();
}

/// Accepts whatever waits each time the listening socket is readable.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  Acceptor(std::shared_ptr<ServerCore> core) : core_(std::move(core)), socket_(core_->loop.impl().context) {}

  Result<> listen() {
    const ServerOptions& o = core_->options;
    const std::string where = o.address + ":" + std::to_string(o.port);
    boost::system::error_code ec;
    const auto address = asio::ip::make_address(o.address == "localhost" ? "127.0.0.1" : o.address, ec);
    if (ec) return fail(haechi::Errc::Io, "cannot listen on " + where + ": not an IP address");
    const tcp::endpoint endpoint(address, o.port);
    socket_.open(endpoint.protocol(), ec);
    if (!ec) socket_.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec) socket_.bind(endpoint, ec);
    if (!ec) socket_.listen(SOMAXCONN, ec);
    if (!ec) socket_.native_non_blocking(true, ec);
    if (ec) return fail(haechi::Errc::Io, "cannot listen on " + where + ": " + ec.message());
    return {};
  }

  std::uint16_t port() const {
    boost::system::error_code ec;
    return socket_.local_endpoint(ec).port();
  }

  void wait() {
    if (!socket_.is_open()) return;
    socket_.async_wait(tcp::acceptor::wait_read, [self = shared_from_this()](const boost::system::error_code& ec) {
      if (ec) return;
      self->accept_all();
    });
  }

  void close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
    core_->loop.timers().disarm(retry_);
  }

 private:
  void accept_all() {
    // Bounded, so that a storm of new clients does not starve those that are here.
    for (int n = 0; n < 256; ++n) {
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      const int fd =
          ::accept4(socket_.native_handle(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        welcome(fd, from);
        continue;
      }
      if (errno == EAGAIN) break;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        // Out of descriptors: the queue keeps the clients until some are free again.
        log::warn("cannot accept a connection", {{"why", std::generic_category().message(errno)}});
        core_->loop.timers().arm(retry_, core_->loop.now() + std::chrono::milliseconds(100), [this] { wait(); });
        return;
      }
    }
    wait();
  }

  void welcome(int fd, const sockaddr_storage& from) {
    const ServerOptions& o = core_->options;
    std::string peer = address_text(from);
    bool full = core_->connections.size() >= o.connections_max;
    if (o.connections_per_address_max && !full) {
      const auto at = core_->per_address.find(peer);
      full = at != core_->per_address.end() && at->second >= o.connections_per_address_max;
    }
    if (full) {
      static constexpr std::string_view kFull =
          "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
      if (!core_->tls) [[maybe_unused]]
        const auto n = ::send(fd, kFull.data(), kFull.size(), MSG_NOSIGNAL);
      ::close(fd);
      return;
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    tcp::socket socket(core_->loop.impl().context);
    boost::system::error_code ec;
    socket.assign(from.ss_family == AF_INET ? tcp::v4() : tcp::v6(), fd, ec);
    if (ec) {
      ::close(fd);
      return;
    }
    auto connection = std::make_shared<Connection>(core_, std::move(socket), std::move(peer));
    core_->add(connection);
    connection->start();
  }

  std::shared_ptr<ServerCore> core_;
  tcp::acceptor socket_;
  TimerQueue::Timer retry_;
};

/// What takes longer is taken for a wait when clients are sent away.
constexpr auto kLongWait = std::chrono::seconds(1);

class AsioServer final : public Server {
 public:
  AsioServer(std::shared_ptr<ServerCore> core, std::shared_ptr<Acceptor> acceptor)
      : core_(std::move(core)), acceptor_(std::move(acceptor)), port_(acceptor_->port()) {
    core_->metrics.gauge("haechi_http_connections", "open HTTP connections", [core = std::weak_ptr(core_)] {
      const auto alive = core.lock();
      return alive ? static_cast<double>(alive->connections.size()) : 0.0;
    });
  }

  ~AsioServer() override {
    acceptor_->close();
    close_all();
  }

  void start() override { acceptor_->wait(); }
  std::uint16_t port() const override { return port_; }
  std::size_t connections() const override { return core_->connections.size(); }

  void send_away(bool on) override {
    core_->sending_away = on;
    if (!on) return;
    for (const auto& connection : std::vector(core_->connections)) {
      connection->hurry(core_->loop.now() - kLongWait);
    }
  }

  Task<void> drain(Duration deadline) override {
    const Instant until = core_->loop.now() + deadline;
    acceptor_->close();
    core_->draining = true;
    for (const auto& connection : std::vector(core_->connections)) connection->drain();
    while (!core_->connections.empty() && core_->loop.now() < until) co_await core_->emptied.wait(until);
    close_all();
    // Handlers of connections that were cut may still be on their way out.
    while (core_->handlers.running() > 0 && core_->loop.now() < until) co_await core_->emptied.wait(until);
  }

  Task<bool> finish(Duration patience) override {
    const Instant until = core_->loop.now() + patience;
    while (core_->handlers.running() > 0 && core_->loop.now() < until) co_await core_->emptied.wait(until);
    co_return core_->handlers.running() == 0;
  }

 private:
  void close_all() {
    for (const auto& connection : std::vector(core_->connections)) connection->close();
  }

  std::shared_ptr<ServerCore> core_;
  std::shared_ptr<Acceptor> acceptor_;
  const std::uint16_t port_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::create(AsioLoop& loop, Router& router, Metrics& metrics,
                                               ServerOptions options) {
  // OpenSSL and sendfile know no MSG_NOSIGNAL: a client that left must not end the process.
  std::signal(SIGPIPE, SIG_IGN);
  auto core = std::make_shared<ServerCore>(loop, router, metrics, std::move(options));
  const ServerOptions& o = core->options;
  if (o.tls_certificate_file.empty() != o.tls_key_file.empty()) {
    return fail(haechi::Errc::Io, "TLS needs both a certificate and a key");
  }
  if (!o.tls_certificate_file.empty()) {
    TRY(core->tls, TlsContext::create(o.tls_certificate_file, o.tls_key_file));
  }
  auto acceptor = std::make_shared<Acceptor>(core);
  TRY_DO(acceptor->listen());
  return std::make_unique<AsioServer>(std::move(core), std::move(acceptor));
}

}  // namespace haechi::net
