#include "net/server_core.hpp"

#include <boost/asio/post.hpp>

#include "base/log.hpp"
#include "net/connection.hpp"

namespace haechi::net {
namespace {
constexpr std::size_t kSpareExchangesMax = 1024;
}

ServerCore::ServerCore(AsioLoop& l, Router& r, Metrics& m, ServerOptions o)
    : loop(l), router(r), metrics(m), options(std::move(o)), head(l.clock(), options.cors), emptied(l) {
  for (std::size_t c = 1; c <= 5; ++c) {
    answered_[c] = &metrics.counter("haechi_http_requests_total", "HTTP requests answered",
                                    "code=\"" + std::to_string(c) + "xx\"");
  }
  for (auto* route : router.routes()) {
    route->seconds =
        &metrics.histogram("haechi_http_request_seconds", "time from the request's head to its answer",
                           "method=\"" + std::string(to_string(route->method)) + "\",route=\"" + route->pattern + "\"");
  }
}

ServerCore::~ServerCore() = default;

std::unique_ptr<Exchange> ServerCore::take_exchange() {
  if (spare_exchanges_.empty()) return std::make_unique<Exchange>();
  auto out = std::move(spare_exchanges_.back());
  spare_exchanges_.pop_back();
  return out;
}

void ServerCore::give_back(std::unique_ptr<Exchange> exchange) {
  if (spare_exchanges_.size() >= kSpareExchangesMax) return;
  exchange->reset();
  spare_exchanges_.push_back(std::move(exchange));
}

void ServerCore::add(std::shared_ptr<Connection> connection) {
  if (options.connections_per_address_max) ++per_address[connection->peer()];
  connection->slot = connections.size();
  connections.push_back(std::move(connection));
}

void ServerCore::remove(Connection& connection) {
  if (options.connections_per_address_max) {
    const auto at = per_address.find(connection.peer());
    if (at != per_address.end() && --at->second == 0) per_address.erase(at);
  }
  const std::size_t slot = connection.slot;
  std::swap(connections[slot], connections.back());
  connections[slot]->slot = slot;
  connections.pop_back();
  if (connections.empty()) emptied.notify();
}

void ServerCore::flush_soon(std::shared_ptr<Connection> connection) {
  if (connection->flush_queued) return;
  connection->flush_queued = true;
  to_flush_.push_back(std::move(connection));
  if (to_flush_.size() > 1) return;
  asio::post(loop.impl().context, [self = shared_from_this()] {
    self->flushing_.swap(self->to_flush_);
    for (auto& c : self->flushing_) {
      c->flush_queued = false;
      c->flush();
    }
    self->flushing_.clear();
  });
}

void ServerCore::count(const Exchange& exchange, std::string_view peer, std::uint64_t bytes, Instant now) {
  const int status = exchange.response.status;
  if (auto* counter = answered_[static_cast<std::size_t>(std::clamp(status / 100, 1, 5))]) counter->add();
  const Duration took = now - exchange.started;
  if (exchange.route && exchange.route->seconds) {
    exchange.route->seconds->observe(std::chrono::duration<double>(took).count());
  }
  if (!options.access_log) return;
  // The pattern, never the target: query strings may hold access tokens.
  log::info("request", {{"method", to_string(exchange.request.method)},
                        {"route", exchange.route ? std::string_view(exchange.route->pattern) : std::string_view("-")},
                        {"status", status},
                        {"bytes", bytes},
                        {"ms", std::chrono::duration<double, std::milli>(took).count()},
                        {"peer", peer}});
}

BlockingPool& ServerCore::compressors() {
  if (!compressors_) compressors_ = std::make_unique<BlockingPool>(loop, "gzip", 1, 256);
  return *compressors_;
}

}  // namespace haechi::net
