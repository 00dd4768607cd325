#include <fmt/format.h>

#include <deque>

#include "bench/workloads.hpp"

namespace haechi::bench {
namespace {

enum class Loop { Closed, Open };

struct Waiting {
  std::uint32_t sequence;
  std::int64_t intended;
};

/// Sender i writes to room i; reader i waits in a long poll.
class Pairs final : public Handler {
 public:
  Pairs(Context& context, Loop loop, std::span<const User> senders, std::span<const User> readers,
        const std::vector<std::string>& rooms)
      : context_(context), loop_(loop), pollers(context, readers), pairs_(senders.size()) {
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      pairs_[i].message = SendTemplate(context, senders[i], rooms[i]);
      pairs_[i].connection = std::make_unique<Connection>(context.engine, context.server, *this, i);
    }
    pollers.on_delivery = [this](const Pollers::Delivery& d) { on_delivery(d); };
  }

  void start_closed() {
    for (std::size_t i = 0; i < pairs_.size(); ++i) begin(i, now_ns());
  }
  /// Open loop: message of the pair whose turn it is, meant for `intended`.
  void send_paced(std::int64_t intended) {
    const auto i = turn_++ % pairs_.size();
    if (window->contains(intended)) ++intended_in_window;
    begin(i, intended);
  }
  bool idle() const { return unacked == 0 && undelivered == 0; }

  /// Counts what never came as having taken until now, so that a stall cannot hide.
  void charge_missing(std::int64_t now) {
    for (const auto& p : pairs_) {
      for (const auto& w : p.queue) {
        if (!window->contains(w.intended)) continue;
        ack_latency.add(now - w.intended);
        ++unacked_in_window;
      }
      for (const auto& w : p.expected) {
        if (!window->contains(w.intended)) continue;
        delivery_latency.add(now - w.intended);
        ++undelivered_in_window;
      }
    }
  }

 private:
  Context& context_;
  Loop loop_;

 public:
  Pollers pollers;
  Window* window = nullptr;
  Histogram ack_latency, delivery_latency;
  std::uint64_t acked = 0, delivered = 0, refused = 0, intended_in_window = 0;
  std::uint64_t unacked = 0, undelivered = 0, unacked_in_window = 0, undelivered_in_window = 0;

 private:
  struct Pair {
    SendTemplate message;
    std::unique_ptr<Connection> connection;
    std::deque<Waiting> queue;     ///< the first is in flight, the others wait for the connection
    std::deque<Waiting> expected;  ///< not yet seen by the reader
  };

  void begin(std::size_t i, std::int64_t intended) {
    auto& p = pairs_[i];
    const Waiting w{++context_.sequence, intended};
    p.queue.push_back(w);
    p.expected.push_back(w);
    ++unacked;
    ++undelivered;
    if (p.queue.size() == 1) p.connection->send(p.message.fill(w.sequence, w.intended));
  }

  void next_closed(std::size_t i) {
    const auto now = now_ns();
    if (now < window->end) begin(i, now);
  }

  void on_response(Connection& connection, const Response& response) override {
    if (!is_ack(response)) {
      ++refused;
      return connection.repeat_after(50 * kMillisecond);
    }
    const auto now = now_ns();
    const auto i = connection.tag();
    auto& p = pairs_[i];
    const auto intended = p.queue.front().intended;
    p.queue.pop_front();
    --unacked;
    // Throughput counts what happened in the window; an open loop's latency belongs to what was meant for it.
    if (window->contains(now)) ++acked;
    if (window->contains(loop_ == Loop::Open ? intended : now)) ack_latency.add(now - intended);
    if (!p.queue.empty()) {
      p.connection->send(p.message.fill(p.queue.front().sequence, p.queue.front().intended));
    } else if (loop_ == Loop::Closed && (context_.options.chat_next == ChatNext::Ack || p.expected.empty())) {
      next_closed(i);
    }
  }

  void on_delivery(const Pollers::Delivery& d) {
    auto& p = pairs_[d.reader];
    while (!p.expected.empty() && p.expected.front().sequence < d.sequence) {
      p.expected.pop_front();  // skipped by the server: lost for this reader
      ++lost;
      --undelivered;
    }
    if (p.expected.empty() || p.expected.front().sequence != d.sequence) return;
    p.expected.pop_front();
    --undelivered;
    if (window->contains(d.now)) ++delivered;
    if (window->contains(loop_ == Loop::Open ? d.intended_ns : d.now)) delivery_latency.add(d.now - d.intended_ns);
    const bool answered = p.queue.empty();
    if (loop_ == Loop::Closed && context_.options.chat_next == ChatNext::Delivery && answered && p.expected.empty()) {
      next_closed(d.reader);
    }
  }

  std::vector<Pair> pairs_;
  std::size_t turn_ = 0;

 public:
  std::uint64_t lost = 0;
};

struct Cast {
  std::vector<User> senders, readers;
  std::vector<std::string> rooms;
};

Cast prepare(Context& context, std::size_t pairs) {
  const auto who = users(context, 2 * pairs);
  Cast cast;
  cast.senders.assign(who.begin(), who.begin() + static_cast<std::ptrdiff_t>(pairs));
  cast.readers.assign(who.begin() + static_cast<std::ptrdiff_t>(pairs), who.end());
  cast.rooms = create_rooms(context, cast.senders);
  std::vector<Join> joins;
  for (std::size_t i = 0; i < pairs; ++i) joins.push_back({&cast.readers[i], &cast.rooms[i]});
  join_rooms(context, joins);
  return cast;
}

void run_phase(Context& context, WorkloadResult& result, Loop loop, std::size_t pairs, double rate) {
  const auto& o = context.options;
  const auto cast = prepare(context, pairs);
  Pairs chat(context, loop, cast.senders, cast.readers, cast.rooms);
  chat.pollers.start();
  Window window(context, o.warmup_s, o.duration_s);
  chat.window = &window;
  if (loop == Loop::Open) {
    context.engine.pace(now_ns(), 1e9 / rate, [&](std::int64_t intended) { chat.send_paced(intended); });
  } else {
    chat.start_closed();
  }
  std::uint64_t shown = 0;
  const auto interval = window.run(
      [&] {
        const auto now = chat.delivered;
        return fmt::format("{} delivered/s, {} under way", now - std::exchange(shown, now), chat.undelivered);
      },
      [&] { return chat.idle(); });
  chat.charge_missing(now_ns());

  const std::string key = loop == Loop::Open ? "chat.open" : "chat.closed";
  const auto acked = static_cast<double>(chat.acked);
  if (loop == Loop::Open) {
    result.add(key + ".rate", rate, "sends/s", fmt::format("intended rate over {} pairs, evenly spaced", pairs));
    result.add(key + ".acked", acked / interval.wall_s, "sends/s", "acknowledged per second");
  } else {
    result.add(key + ".acked", acked / interval.wall_s, "sends/s",
               fmt::format("acknowledged per second, {} pairs, next send after {}", pairs,
                           o.chat_next == ChatNext::Ack ? "the acknowledgement" : "acknowledgement and delivery"));
  }
  result.add(key + ".delivered", static_cast<double>(chat.delivered) / interval.wall_s, "messages/s",
             "delivered to a waiting /sync per second");
  const std::string from = loop == Loop::Open ? "intended send time" : "send";
  result.add(key + ".ack_latency", chat.ack_latency, from + " to acknowledgement");
  result.add(key + ".delivery_latency", chat.delivery_latency, from + " to the recipient's /sync answer");
  interval.report(result, key, acked, "message");
  if (loop == Loop::Open && acked / interval.wall_s < 0.98 * rate) {
    result.note(fmt::format("{}: the server did not keep up with {} sends/s", key, rate));
  }
  if (chat.refused) result.note(fmt::format("{}: {} sends were refused and repeated", key, chat.refused));
  if (chat.unacked_in_window || chat.undelivered_in_window || chat.lost) {
    result.note(fmt::format("{}: {} never acknowledged, {} never delivered, {} skipped", key, chat.unacked_in_window,
                            chat.undelivered_in_window, chat.lost));
  }
  if (chat.pollers.repeated)
    result.note(fmt::format("{}: {} deliveries repeated or out of order", key, chat.pollers.repeated));
  if (chat.pollers.errors) result.note(fmt::format("{}: {} polls failed", key, chat.pollers.errors));
}

}  // namespace

void run_chat(Context& context, WorkloadResult& result) {
  const auto& o = context.options;
  result.shape = fmt::format(
      "1:1 rooms; the recipient waits in a /sync long poll and asks again at once. Closed loop with {} pairs; open "
      "loop with {} pairs at "
      "{} sends/s, latency from the intended send time",
      o.senders, o.pairs, o.rate);
  run_phase(context, result, Loop::Closed, o.senders, 0);
  if (o.rate > 0) run_phase(context, result, Loop::Open, o.pairs, o.rate);
}

}  // namespace haechi::bench
