#pragma once
// The Matrix that a load generator needs: accounts, rooms, ready-made requests,
// and long-polling readers that recognise the generator's own messages.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/engine.hpp"
#include "bench/histogram.hpp"
#include "bench/options.hpp"
#include "bench/progress.hpp"
#include "bench/usage.hpp"

namespace haechi::bench {

struct User {
  std::string id;
  std::string token;
};

/// All that a workload works with.
struct Context {
  const Options& options;
  Engine& engine;
  Endpoint server;
  Progress& progress;
  std::string run;             ///< eight hex digits: marks this run's messages
  std::vector<User> pool;      ///< accounts made or read so far
  std::uint32_t sequence = 0;  ///< of messages, unique within the run
  std::uint32_t names = 0;     ///< of accounts and rooms, likewise
};

std::string percent_encode(std::string_view text);
/// The string member `key` wherever it first stands in `json`; escapes are not undone.
std::optional<std::string_view> find_string(std::string_view json, std::string_view key);

/// A whole request. `path` begins with /_matrix and is already encoded.
std::string request(const Endpoint& server, std::string_view method, std::string_view path, std::string_view token,
                    std::string_view body = {}, std::string_view content_type = "application/json");

/// Runs requests 0..count-1 over a few connections, showing progress. `done` sees answers of any
/// status but 429 and 503, which are repeated. Returning false from `done` asks for the
/// request to be made anew by `make`.
void run_batch(Context& context, const std::string& label, std::size_t count,
               const std::function<std::string(std::size_t)>& make,
               const std::function<bool(std::size_t, const Response&)>& done, std::size_t connections = 0);

/// The first `count` accounts of the pool, which grows as needed (registration or log-in).
std::span<const User> users(Context& context, std::size_t count);
/// Accounts that have never done anything.
std::vector<User> fresh_users(Context& context, std::size_t count);
/// One public room for each owner; returns the room ids.
std::vector<std::string> create_rooms(Context& context, std::span<const User> owners);
struct Join {
  const User* user;
  const std::string* room;
};
void join_rooms(Context& context, const std::vector<Join>& joins);

/// A `send` request that is written once and then patched: transaction id, number and time.
class SendTemplate {
 public:
  SendTemplate() = default;
  SendTemplate(const Context& context, const User& user, std::string_view room);
  /// The request for message `sequence` that was to be sent at `intended_ns`. Valid until the next call.
  std::string_view fill(std::uint32_t sequence, std::int64_t intended_ns);

 private:
  std::string text_;
  std::size_t txn_at_ = 0;
  std::size_t mark_at_ = 0;
};

/// True for an answer to a send that names the event.
bool is_ack(const Response& response);

/// Readers that hold a /sync long poll each and ask again as soon as one is answered.
class Pollers final : public Handler {
 public:
  struct Delivery {
    std::size_t reader;
    std::uint32_t sequence;
    std::int64_t intended_ns;
    std::int64_t now;
  };

  Pollers(Context& context, std::span<const User> readers);
  /// Uploads the filter and fetches each reader's current position.
  void prepare();
  /// Opens the polls of the readers [from, to) and lets the answers to what was new go by.
  void open(std::size_t from, std::size_t to);
  void start() {
    prepare();
    open(0, readers_.size());
  }

  std::function<void(const Delivery&)> on_delivery;

  std::uint64_t responses = 0;
  std::uint64_t bytes = 0;
  /// Messages that a reader got twice or out of order.
  std::uint64_t repeated = 0;
  std::uint64_t errors = 0;

 private:
  void on_response(Connection& connection, const Response& response) override;
  void poll(std::size_t reader, std::string_view since);

  struct Reader {
    std::string tail;  ///< of the request: everything after the position
    std::string since;
    std::uint32_t last = 0;
    std::unique_ptr<Connection> connection;
  };
  Context& context_;
  std::span<const User> users_;
  std::vector<Reader> readers_;
  std::string head_;
  std::string mark_;
  std::string scratch_;
};

/// The filter that every reader uses, for the `filter` parameter.
std::string sync_filter(std::size_t timeline_limit);

}  // namespace haechi::bench
