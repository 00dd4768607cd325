#pragma once
// Private to net/: what all connections of a server share. Loop thread only.

#include <boost/asio/ip/tcp.hpp>

#include "base/pool.hpp"
#include "net/asio_loop_impl.hpp"
#include "net/exchange.hpp"
#include "net/response_head.hpp"
#include "net/transport.hpp"

namespace haechi::net {

class Connection;

struct ServerCore : std::enable_shared_from_this<ServerCore> {
  ServerCore(AsioLoop& l, Router& r, Metrics& m, ServerOptions o);
  ~ServerCore();

  /// Exchanges and their small buffers are used again and again.
  std::unique_ptr<Exchange> take_exchange();
  void give_back(std::unique_ptr<Exchange> exchange);

  void add(std::shared_ptr<Connection> connection);
  void remove(Connection& connection);

  /// The connection has answers to write. All that become ready in one turn of
  /// the loop are written together, a connection's in one call.
  void flush_soon(std::shared_ptr<Connection> connection);

  void count(const Exchange& exchange, std::string_view peer, std::uint64_t bytes, Instant now);
  BlockingPool& compressors();

  AsioLoop& loop;
  Router& router;
  Metrics& metrics;
  const ServerOptions options;
  std::unique_ptr<TlsContext> tls;
  Scope handlers;
  ResponseHead head;
  bool draining = false;
  bool sending_away = false;
  Waiter emptied;  ///< notified when the last connection goes, and while draining when a handler ends

  /// Where every socket is read into: connections hold no buffer of their own while they wait.
  std::vector<char> scratch = std::vector<char>(64 * 1024);
  std::string spare_output;

  std::vector<std::shared_ptr<Connection>> connections;
  std::unordered_map<std::string, std::size_t> per_address;

 private:
  std::vector<std::unique_ptr<Exchange>> spare_exchanges_;
  std::vector<std::shared_ptr<Connection>> to_flush_;
  std::vector<std::shared_ptr<Connection>> flushing_;
  std::array<Counter*, 6> answered_{};
  std::unique_ptr<BlockingPool> compressors_;
};

}  // namespace haechi::net
