#include <fmt/format.h>
#include <sys/resource.h>

#include "bench/workloads.hpp"

namespace haechi::bench {
namespace {

constexpr std::size_t kAwaited = 100;
constexpr double kWakesPerSecond = 50;

/// Wakes one reader after the other.
class Waker final : public Handler {
 public:
  Waker(Context& context, const User& sender, const std::vector<std::string>& rooms) : context_(context) {
    for (std::size_t i = 0; i < rooms.size(); ++i) {
      messages_.emplace_back(context, sender, rooms[i]);
      connections_.push_back(std::make_unique<Connection>(context.engine, context.server, *this, i));
    }
  }
  void wake(std::int64_t intended) {
    const auto i = sent++ % messages_.size();
    if (connections_[i]->busy()) return;
    connections_[i]->send(messages_[i].fill(++context_.sequence, intended));
  }
  std::uint64_t sent = 0, refused = 0;

 private:
  void on_response(Connection&, const Response& response) override { refused += !is_ack(response); }
  Context& context_;
  std::vector<SendTemplate> messages_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

struct Wakes {
  Histogram latency;
  double cpu_us = 0;
};

Wakes measure_wakes(Context& context, Pollers& pollers, Waker& waker, const char* label) {
  Wakes out;
  const auto& o = context.options;
  const auto count = static_cast<std::uint64_t>(o.idle_wakes);
  std::uint64_t seen = 0;
  pollers.on_delivery = [&](const Pollers::Delivery& d) {
    out.latency.add(d.now - d.intended_ns);
    ++seen;
  };
  context.engine.on_second = [&](std::int64_t) {
    context.progress.update(fmt::format("  {}: {}/{} wakes", label, seen, count));
  };
  const auto pids = std::span<const int>(o.server_pids);
  waker.sent = 0;
  const auto from = Usage::sample(pids);
  context.engine.pace(now_ns(), 1e9 / kWakesPerSecond, [&](std::int64_t intended) {
    if (waker.sent < count) waker.wake(intended);
  });
  context.engine.run_until(
      now_ns() + static_cast<std::int64_t>((static_cast<double>(count) / kWakesPerSecond + 10) * 1e9),
      [&] { return seen >= count; });
  context.engine.stop_pace();
  const Interval interval(from, Usage::sample(pids), !pids.empty());
  out.cpu_us = interval.server_cpu_s * 1e6 / static_cast<double>(std::max<std::uint64_t>(1, seen));
  pollers.on_delivery = {};
  context.engine.on_second = {};
  return out;
}

}  // namespace

void run_idle(Context& context, WorkloadResult& result) {
  const auto& o = context.options;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  const auto room_for = static_cast<std::size_t>(files.rlim_cur) - 1000;
  const auto clients = std::min(o.clients, room_for);
  const auto awaited = std::min(kAwaited, clients);
  result.shape =
      fmt::format("{} accounts wait in /sync long polls of 30 s; {} of them are woken, one at a time, by a message",
                  clients, awaited);
  if (clients < o.clients)
    result.note(fmt::format("the open-file limit allows {} clients, not {}", clients, o.clients));

  const auto pids = std::span<const int>(o.server_pids);
  const double at_start = resident_bytes(pids);
  const auto all = users(context, clients + 1);
  const auto& sender = all.back();
  const auto rooms = create_rooms(context, std::vector<User>(awaited, sender));
  std::vector<Join> joins;
  for (std::size_t i = 0; i < awaited; ++i) joins.push_back({&all[i], &rooms[i]});
  join_rooms(context, joins);

  Pollers pollers(context, all.first(clients));
  pollers.prepare();
  Waker waker(context, sender, rooms);
  pollers.open(0, awaited);
  const auto alone = measure_wakes(context, pollers, waker, "without the herd");

  const double rss_before = resident_bytes(pids);
  const double kernel_before = kernel_bytes();
  pollers.open(awaited, clients);
  const auto herd = static_cast<double>(clients - awaited);
  const double rss = resident_bytes(pids);
  const double kernel = kernel_bytes();
  const auto answered = pollers.responses;
  const auto from = Usage::sample(pids);
  context.engine.on_second = [&](std::int64_t) {
    context.progress.update(fmt::format("  idle: {} connections wait", context.engine.open_connections));
  };
  context.engine.run_until(now_ns() + static_cast<std::int64_t>(o.idle_s * 1e9));
  context.engine.on_second = {};
  const Interval interval(from, Usage::sample(pids), !pids.empty());
  const auto woken = measure_wakes(context, pollers, waker, "with the herd");

  result.add("idle.clients", static_cast<double>(clients), "clients", "long polls held open at once");
  if (herd > 0) {
    const double kernel_each = (kernel - kernel_before) / herd;
    result.add("idle.kernel", kernel_each, "B/client",
               "kernel slab and socket memory for both ends of a connection, whole machine");
    if (!pids.empty()) {
      const double each = (rss - rss_before) / herd;
      result.add("idle.resident", each, "B/client", "growth of the server's resident memory from opening the polls");
      const double with_account = (rss - at_start) / static_cast<double>(clients);
      result.add("idle.resident_with_account", with_account, "B/client",
                 "growth since before accounts, first syncs and polls (less where accounts were there already)");
      const double gib =
          (at_start + (std::max(each, with_account) + kernel_each / 2) * 100'000) / (1024.0 * 1024 * 1024);
      result.add("idle.gib_100k", gib, "GiB",
                 "100,000 clients, projected: server at start, then resident memory with account and half of the "
                 "kernel memory for each");
      result.add("idle.resident_total", rss / 1e6, "MB", "the server's resident memory with the herd");
    }
  }
  if (!pids.empty()) {
    result.add("idle.cpu", 100 * interval.server_cpu_s / interval.wall_s, "% of a core",
               fmt::format("server CPU while nothing happens ({} polls were answered in that time)",
                           pollers.responses - answered));
    result.add("idle.wake_cpu_alone", alone.cpu_us, "us",
               fmt::format("server CPU for a send and the wake of its reader, {} polls open", awaited));
    result.add("idle.wake_cpu", woken.cpu_us, "us", fmt::format("the same with {} polls open", clients));
  }
  result.add("idle.wake_latency_alone", alone.latency,
             fmt::format("intended send time to the reader's answer, {} polls open", awaited));
  result.add("idle.wake_latency", woken.latency, fmt::format("the same with {} polls open", clients));
  if (pollers.errors) result.note(fmt::format("{} polls failed", pollers.errors));
  if (waker.refused) result.note(fmt::format("{} sends were refused", waker.refused));
}

}  // namespace haechi::bench
