#include <fmt/format.h>

#include <random>
#include <stdexcept>

#include "bench/workloads.hpp"

namespace haechi::bench {
namespace {

constexpr std::size_t kRoomMembers = 4;
constexpr std::size_t kReadBack = 200;
constexpr std::uint64_t kSampleEvery = 101;

/// Senders that send the next message as soon as the last one is acknowledged.
class Senders final : public Handler {
 public:
  Senders(Context& context, std::span<const User> users, const std::vector<std::string>& rooms)
      : context_(context), random_(context.options.seed), places_(users.size()) {
    for (std::size_t r = 0; r < rooms.size(); ++r) {
      for (std::size_t m = 0; m < std::min(kRoomMembers, users.size()); ++m) {
        const auto who = member(r, m, users.size());
        places_[who].push_back({r, SendTemplate(context, users[who], rooms[r])});
      }
    }
    for (std::size_t i = 0; i < users.size(); ++i) {
      connections_.push_back(std::make_unique<Connection>(context.engine, context.server, *this, i));
    }
  }

  /// The m-th member of room r; neighbours in the list of rooms share few members.
  static std::size_t member(std::size_t r, std::size_t m, std::size_t users) { return (r + m * 17) % users; }

  void start() {
    for (auto& c : connections_) {
      if (!places_[c->tag()].empty()) next(*c);
    }
  }

  const Window* window = nullptr;
  Histogram latencies;
  std::uint64_t acked = 0;
  std::uint64_t refused = 0;
  std::size_t in_flight = 0;
  struct Acknowledged {
    std::size_t user, room;
    std::string event;
  };
  std::vector<Acknowledged> sample;  ///< spread over the run

 private:
  void next(Connection& connection) {
    auto& own = places_[connection.tag()];
    const auto now = now_ns();
    if (now >= window->end) return;
    ++in_flight;
    // Each sender goes round its rooms, so rooms are written to by several senders at a time.
    std::swap(own.front(), own[random_() % own.size()]);
    connection.send(own.front().message.fill(++context_.sequence, now));
  }

  void on_response(Connection& connection, const Response& response) override {
    if (!is_ack(response)) {
      ++refused;
      return connection.repeat_after(50 * kMillisecond);
    }
    const auto now = now_ns();
    --in_flight;
    if (window->contains(now)) {
      ++acked;
      latencies.add(now - connection.sent_at());
      if (acked % kSampleEvery == 0 && sample.size() < kReadBack) {
        sample.push_back({connection.tag(), places_[connection.tag()].front().room,
                          std::string(*find_string(response.body, "event_id"))});
      }
    }
    next(connection);
  }

  Context& context_;
  std::minstd_rand random_;
  struct Place {
    std::size_t room;
    SendTemplate message;
  };
  std::vector<std::vector<Place>> places_;  ///< by sender; the first is where it wrote last
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace

void run_send(Context& context, WorkloadResult& result) {
  const auto& o = context.options;
  result.shape = fmt::format(
      "{} senders on a connection each, {} rooms of {} members, closed loop: next send after the acknowledgement",
      o.senders, o.rooms, kRoomMembers);
  const auto who = users(context, o.senders);
  std::vector<User> owners;
  for (std::size_t r = 0; r < o.rooms; ++r) owners.push_back(who[Senders::member(r, 0, who.size())]);
  const auto rooms = create_rooms(context, owners);
  std::vector<Join> joins;
  for (std::size_t r = 0; r < rooms.size(); ++r) {
    for (std::size_t m = 1; m < std::min(kRoomMembers, who.size()); ++m) {
      joins.push_back({&who[Senders::member(r, m, who.size())], &rooms[r]});
    }
  }
  join_rooms(context, joins);

  Senders senders(context, who, rooms);
  Window window(context, o.warmup_s, o.duration_s);
  senders.window = &window;
  senders.start();
  std::uint64_t shown = 0;
  const auto interval = window.run(
      [&] {
        const auto now = senders.acked;
        return fmt::format("{} acked/s", now - std::exchange(shown, now));
      },
      [&] { return senders.in_flight == 0; });

  const auto acked = static_cast<double>(senders.acked);
  result.add("send.acked", acked / interval.wall_s, "sends/s", "acknowledged sends per second");
  result.add("send.ack_latency", senders.latencies, "send to acknowledgement, closed loop");
  interval.report(result, "send", acked, "send");
  if (senders.refused) result.note(fmt::format("{} sends were refused and repeated", senders.refused));

  // A generator that counts promises should see whether they are kept.
  std::size_t missing = 0;
  const auto& sample = senders.sample;
  run_batch(
      context, "reading back", sample.size(),
      [&](std::size_t i) {
        return request(context.server, "GET",
                       fmt::format("/_matrix/client/v3/rooms/{}/event/{}", percent_encode(rooms[sample[i].room]),
                                   percent_encode(sample[i].event)),
                       who[sample[i].user].token);
      },
      [&](std::size_t, const Response& response) {
        missing += response.status != 200;
        return true;
      });
  result.note(
      fmt::format("{} of {} sampled acknowledged events could be read back", sample.size() - missing, sample.size()));
}

}  // namespace haechi::bench
