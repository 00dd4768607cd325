#include <fmt/format.h>

#include <map>
#include <memory>
#include <unordered_map>

#include "bench/workloads.hpp"

namespace haechi::bench {
namespace {

/// Rooms with many waiting members and one sender each.
class Fanout final : public Handler {
 public:
  Fanout(Context& context, std::span<const User> members, const std::vector<std::string>& rooms, std::size_t per_room)
      : pollers(context, members), context_(context), per_room_(per_room) {
    for (std::size_t r = 0; r < rooms.size(); ++r) {
      rooms_.push_back({SendTemplate(context, members[r * per_room], rooms[r]),
                        std::make_unique<Connection>(context.engine, context.server, *this, r),
                        {}});
    }
    pollers.on_delivery = [this](const Pollers::Delivery& d) { on_delivery(d); };
  }

  Pollers pollers;
  Window* window = nullptr;
  bool closed = false;
  Histogram ack_latency, delivery_latency, last_latency, p99_latency;
  std::uint64_t acked = 0, delivered = 0, refused = 0, complete = 0;

  void send_paced(std::int64_t intended) { begin(turn_++ % rooms_.size(), intended); }
  void start_closed() {
    closed = true;
    for (std::size_t r = 0; r < rooms_.size(); ++r) begin(r, now_ns());
  }
  bool idle() const { return open_.empty(); }
  std::size_t incomplete() const { return open_.size(); }
  void charge_missing(std::int64_t now) {
    for (const auto& [sequence, m] : open_) {
      if (!window->contains(m.intended)) continue;
      for (auto n = m.seen; n < per_room_; ++n) delivery_latency.add(now - m.intended);
      last_latency.add(now - m.intended);
    }
  }

 private:
  struct Message {
    std::size_t room;
    std::int64_t intended;
    std::size_t seen = 0;
    bool acked = false;
  };
  struct Room {
    SendTemplate message;
    std::unique_ptr<Connection> connection;
    std::vector<std::uint32_t> queue;
  };

  void begin(std::size_t r, std::int64_t intended) {
    const auto sequence = ++context_.sequence;
    open_.emplace(sequence, Message{r, intended});
    auto& room = rooms_[r];
    room.queue.push_back(sequence);
    if (room.queue.size() == 1) room.connection->send(room.message.fill(sequence, intended));
  }

  void finish_if_complete(std::unordered_map<std::uint32_t, Message>::iterator it, std::int64_t now) {
    if (it->second.seen < per_room_ || !it->second.acked) return;
    const auto room = it->second.room;
    open_.erase(it);
    ++complete;
    if (closed && now < window->end) begin(room, now_ns());
  }

  void on_response(Connection& connection, const Response& response) override {
    if (!is_ack(response)) {
      ++refused;
      return connection.repeat_after(50 * kMillisecond);
    }
    const auto now = now_ns();
    auto& room = rooms_[connection.tag()];
    const auto it = open_.find(room.queue.front());
    room.queue.erase(room.queue.begin());
    if (!room.queue.empty()) {
      connection.send(room.message.fill(room.queue.front(), open_.at(room.queue.front()).intended));
    }
    it->second.acked = true;
    if (window->contains(it->second.intended)) {
      ++acked;
      ack_latency.add(now - it->second.intended);
    }
    finish_if_complete(it, now);
  }

  void on_delivery(const Pollers::Delivery& d) {
    if (window->contains(d.now)) ++delivered;
    const auto it = open_.find(d.sequence);
    if (it == open_.end()) return;
    auto& m = it->second;
    ++m.seen;
    const auto latency = d.now - m.intended;
    if (window->contains(m.intended)) {
      delivery_latency.add(latency);
      if (m.seen == (per_room_ * 99 + 99) / 100) p99_latency.add(latency);
      if (m.seen == per_room_) last_latency.add(latency);
    }
    finish_if_complete(it, d.now);
  }

  Context& context_;
  std::size_t per_room_;
  std::vector<Room> rooms_;
  std::unordered_map<std::uint32_t, Message> open_;
  std::size_t turn_ = 0;
};

struct Shape {
  std::string key;
  std::size_t rooms;
  std::size_t members;
  double rate;  ///< messages/s over all rooms
};

void run_phase(Context& context, WorkloadResult& result, Fanout& fanout, const Shape& shape, bool closed) {
  const auto& o = context.options;
  Window window(context, o.warmup_s, o.duration_s);
  fanout.window = &window;
  if (closed) {
    fanout.start_closed();
  } else {
    context.engine.pace(now_ns(), 1e9 / shape.rate, [&](std::int64_t intended) { fanout.send_paced(intended); });
  }
  std::uint64_t shown = 0;
  const auto interval = window.run(
      [&] {
        const auto now = fanout.delivered;
        return fmt::format("{} deliveries/s, {} messages under way", now - std::exchange(shown, now),
                           fanout.incomplete());
      },
      [&] { return fanout.idle(); });
  const auto incomplete = fanout.incomplete();
  fanout.charge_missing(now_ns());

  const std::string key = shape.key + (closed ? ".closed" : ".open");
  const auto delivered = static_cast<double>(fanout.delivered);
  if (!closed) result.add(key + ".rate", shape.rate, "messages/s", "intended rate over all rooms, evenly spaced");
  result.add(key + ".messages", static_cast<double>(fanout.acked) / interval.wall_s, "messages/s",
             "acknowledged messages per second");
  result.add(
      key + ".deliveries", delivered / interval.wall_s, "deliveries/s",
      closed ? "messages received by waiting /syncs per second; each message reaches all members before its room's next"
             : "messages received by waiting /syncs per second");
  const std::string from = closed ? "send" : "intended send time";
  result.add(key + ".delivery_latency", fanout.delivery_latency,
             from + " to a member's /sync answer, over all members and messages");
  result.add(key + ".p99_member", fanout.p99_latency,
             from + " until 99 % of the members have the message, per message");
  result.add(key + ".last_member", fanout.last_latency, from + " until the last member has the message, per message");
  result.add(key + ".ack_latency", fanout.ack_latency, from + " to acknowledgement");
  interval.report(result, key, delivered, "delivery");
  if (incomplete) result.note(fmt::format("{}: {} messages did not reach everybody within 5 s", key, incomplete));
  if (fanout.refused) result.note(fmt::format("{}: {} sends were refused and repeated", key, fanout.refused));
  if (fanout.pollers.errors) result.note(fmt::format("{}: {} polls failed", key, fanout.pollers.errors));
  if (fanout.pollers.repeated)
    result.note(fmt::format("{}: {} deliveries repeated or out of order", key, fanout.pollers.repeated));
}

void run_shape(Context& context, WorkloadResult& result, const Shape& shape) {
  result.shape = fmt::format(
      "{} room(s) of {} members, all waiting in /sync long polls (the sender too), one sender a room; open loop at {} "
      "messages/s, then closed loop",
      shape.rooms, shape.members, shape.rate);
  const auto all = users(context, shape.rooms * shape.members);
  std::vector<User> owners;
  for (std::size_t r = 0; r < shape.rooms; ++r) owners.push_back(all[r * shape.members]);
  const auto rooms = create_rooms(context, owners);
  std::vector<Join> joins;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i % shape.members != 0) joins.push_back({&all[i], &rooms[i / shape.members]});
  }
  join_rooms(context, joins);
  for (const bool closed : {false, true}) {
    Fanout fanout(context, all, rooms, shape.members);
    Window none(context, 0, 0);
    fanout.window = &none;
    fanout.pollers.start();
    run_phase(context, result, fanout, shape, closed);
  }
}

}  // namespace

void run_group(Context& context, WorkloadResult& result) {
  const auto& o = context.options;
  run_shape(context, result,
            {"group", o.group_rooms, o.group_members, o.group_rate * static_cast<double>(o.group_rooms)});
}

void run_open(Context& context, WorkloadResult& result) {
  const auto& o = context.options;
  run_shape(context, result, {"open", 1, o.open_members, o.open_rate});
}

}  // namespace haechi::bench
