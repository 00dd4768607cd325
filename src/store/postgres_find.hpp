#pragma once
// Finding the server that accepts writes. Only store/postgres*.cpp include this.

#include <libpq-fe.h>
#include <poll.h>

#include "store/store.hpp"

namespace haechi::store {

struct ClosePostgres {
  void operator()(PGconn* c) const { PQfinish(c); }
};
using PostgresPtr = std::unique_ptr<PGconn, ClosePostgres>;

/// Every promotion begins a new timeline with a higher number, so of two servers that both
/// believe to be the primary the one with the higher number is right.
using Timeline = std::uint32_t;

/// A connection to a server that says it accepts writes.
struct Primary {
  PostgresPtr connection;
  std::size_t host = 0;
  Timeline timeline = 0;
};

/// One attempt at one host, which never blocks: connect, ask what it is.
class Probe {
 public:
  enum class State { Connecting, Asking, IsPrimary, IsNot };

  Probe(const PostgresOptions& options, std::size_t host, Access access, Instant now);
  State state() const { return state_; }
  bool running() const { return state_ == State::Connecting || state_ == State::Asking; }
  std::size_t host() const { return host_; }
  Timeline timeline() const { return timeline_; }
  Instant ends() const { return ends_; }
  /// What to poll for while it runs.
  pollfd wants() const;
  /// Goes on as far as is possible without waiting.
  void advance(Instant now);
  /// Why it is not the primary.
  const std::string& reason() const { return reason_; }
  PostgresPtr take() { return std::move(connection_); }

 private:
  bool ready() const;
  void step();
  void read_answer();
  void give_up(std::string why);

  PostgresPtr connection_;
  std::size_t host_;
  Instant ends_;
  State state_ = State::Connecting;
  PostgresPollingStatusType polling_ = PGRES_POLLING_WRITING;
  Timeline timeline_ = 0;
  std::string reason_;
};

/// What all connections of one database know about its servers. Thread-safe.
class Finder {
 public:
  /// Errc::Invalid for options that cannot work.
  static Result<std::shared_ptr<Finder>> create(PostgresOptions options);
  explicit Finder(PostgresOptions options) : options_(std::move(options)) {}

  /// Looks at every host again and again until one accepts writes; ConnectionLost after `find_max`.
  Primary find(Access access);
  /// One look at every host but `host`, for whoever has begun to doubt it.
  std::vector<Probe> look_elsewhere(std::size_t host, Access access) const;
  /// A server with this timeline was seen to accept writes.
  void seen(std::size_t host, Timeline timeline);
  const PostgresOptions& options() const { return options_; }

 private:
  const PostgresOptions options_;
  mutable std::mutex mutex_;
  std::optional<std::size_t> last_good_;
  Timeline newest_ = 0;
};

}  // namespace haechi::store
