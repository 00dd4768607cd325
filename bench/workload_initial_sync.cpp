#include <fmt/format.h>

#include <stdexcept>

#include "bench/workloads.hpp"

namespace haechi::bench {
namespace {

constexpr std::size_t kOwners = 16;
constexpr std::size_t kReaders = 16;

/// The same incremental sync over and over on a few connections.
class Repeater final : public Handler {
 public:
  Repeater(Context& context, std::string text, std::string marker)
      : text_(std::move(text)), marker_(std::move(marker)) {
    for (std::size_t i = 0; i < kReaders; ++i) {
      connections_.push_back(std::make_unique<Connection>(context.engine, context.server, *this, i));
    }
  }
  void start() {
    for (auto& c : connections_) c->send(text_);
  }

  const Window* window = nullptr;
  Histogram latencies;
  std::uint64_t answers = 0, empty = 0, finished = 0, bytes = 0;

 private:
  void on_response(Connection& connection, const Response& response) override {
    const auto now = now_ns();
    if (response.status != 200 || response.body.find(marker_) == std::string_view::npos) ++empty;
    if (window->contains(now)) {
      ++answers;
      bytes += response.body_bytes;
      latencies.add(now - connection.sent_at());
    }
    if (now < window->end) {
      connection.send(text_);
    } else {
      ++finished;
    }
  }
  std::string text_, marker_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

std::string one_request(Context& context, const std::string& label, const std::string& text, int expected = 200) {
  std::string body;
  run_batch(
      context, label, 1, [&](std::size_t) { return text; },
      [&](std::size_t, const Response& response) {
        if (response.status != expected)
          throw std::runtime_error(fmt::format("{} answered {}: {}", label, response.status, response.body));
        body = response.body;
        return true;
      });
  return body;
}

}  // namespace

void run_initial_sync(Context& context, WorkloadResult& result) {
  const auto& o = context.options;
  result.shape = fmt::format(
      "{} accounts of {} rooms with {} messages each: first /sync (20 events a room, lazy members) one after the "
      "other; "
      "then incremental syncs of one event",
      o.sync_accounts, o.sync_rooms, o.sync_messages);
  const auto owners = fresh_users(context, std::min(kOwners, o.sync_rooms));
  const auto accounts = fresh_users(context, o.sync_accounts);
  std::vector<User> creators;
  for (std::size_t r = 0; r < o.sync_rooms; ++r) creators.push_back(owners[r % owners.size()]);
  const auto rooms = create_rooms(context, creators);
  std::vector<Join> joins;
  for (const auto& account : accounts) {
    for (const auto& room : rooms) joins.push_back({&account, &room});
  }
  join_rooms(context, joins);
  run_batch(
      context, "messages", rooms.size() * o.sync_messages,
      [&](std::size_t i) {
        const auto r = i % rooms.size();
        return std::string(SendTemplate(context, creators[r], rooms[r]).fill(++context.sequence, now_ns()));
      },
      [](std::size_t, const Response& response) {
        if (!is_ack(response))
          throw std::runtime_error(fmt::format("send answered {}: {}", response.status, response.body));
        return true;
      });

  const auto pids = std::span<const int>(o.server_pids);
  const auto filter = sync_filter(20);
  Histogram first;
  double bytes = 0;
  std::string since;
  const auto from = Usage::sample(pids);
  for (const auto& account : accounts) {
    const auto text = request(context.server, "GET", fmt::format("/_matrix/client/v3/sync?timeout=0&filter={}", filter),
                              account.token);
    const auto start = now_ns();
    const auto body = one_request(context, "first sync", text);
    first.add(now_ns() - start);
    bytes += static_cast<double>(body.size());
    const auto next = find_string(body, "next_batch");
    if (!next) throw std::runtime_error("a first sync without next_batch");
    since = *next;
  }
  const Interval initial(from, Usage::sample(pids), !pids.empty());
  const auto count = static_cast<double>(accounts.size());
  result.add("initial_sync.median", static_cast<double>(first.quantile(0.5)) / 1e6, "ms",
             fmt::format("first sync of an account with {} rooms, median of {} accounts, each asked once", o.sync_rooms,
                         accounts.size()));
  result.add("initial_sync.max", static_cast<double>(first.max()) / 1e6, "ms", "the slowest of them");
  result.add("initial_sync.bytes", bytes / count / 1e6, "MB", "size of one answer");
  if (!pids.empty()) {
    result.add("initial_sync.server_cpu", initial.server_cpu_s * 1e3 / count, "ms/sync", "server CPU per first sync");
    result.add("initial_sync.server_cpu_per_mb", initial.server_cpu_s * 1e3 / (bytes / 1e6), "ms/MB",
               "server CPU per MB answered");
  }

  // One event after `since`, and then the same question again and again: no sends disturb the CPU figure.
  SendTemplate message(context, creators.front(), rooms.front());
  one_request(context, "send", std::string(message.fill(++context.sequence, now_ns())));
  const auto incremental =
      request(context.server, "GET",
              fmt::format("/_matrix/client/v3/sync?timeout=30000&since={}&filter={}", percent_encode(since), filter),
              accounts.back().token);
  Repeater repeater(context, incremental, "hb:" + context.run);
  Window window(context, o.warmup_s, o.duration_s);
  repeater.window = &window;
  repeater.start();
  std::uint64_t shown = 0;
  const auto interval = window.run(
      [&] {
        const auto now = repeater.answers;
        return fmt::format("{} incremental syncs/s", now - std::exchange(shown, now));
      },
      [&] { return repeater.finished == kReaders; });
  const auto answers = static_cast<double>(repeater.answers);
  result.add("incremental_sync.rate", answers / interval.wall_s, "syncs/s",
             fmt::format("incremental syncs of one event, {} connections, closed loop", kReaders));
  result.add("incremental_sync.latency", repeater.latencies, "one incremental sync with one event");
  if (answers > 0)
    result.add("incremental_sync.bytes", static_cast<double>(repeater.bytes) / answers, "B", "size of one answer");
  interval.report(result, "incremental_sync", answers, "sync");
  if (repeater.empty) result.note(fmt::format("{} incremental syncs came without the event", repeater.empty));
}

}  // namespace haechi::bench
