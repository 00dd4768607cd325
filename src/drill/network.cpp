#include "drill/network.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <queue>

#include "drill/devices.hpp"

namespace haechi::drill {
namespace {

constexpr std::size_t kPacketMax = 70'000;
/// Bytes that may be under way on slow wires; a narrow pipe's own bound is reached long before.
constexpr std::size_t kDelayedBytesMax = 256u << 20;
constexpr std::size_t kAddressOffset = 10 + 16;  // after the offload header, the destination in IPv4's header

std::unexpected<Error> failed(const std::string& what) { return fail(Errc::Io, what + ": " + std::strerror(errno)); }

/// Runs `f` on a thread of its own, so that the namespace it enters is left with it.
Result<> elsewhere(const std::function<Result<>()>& f) {
  Result<> result;
  std::thread([&] { result = f(); }).join();
  return result;
}

/// The device that leads from one namespace straight to another.
std::string pair_name(int to) { return "to" + std::to_string(to); }

}  // namespace

/// Packets on their way, by the time at which they arrive.
class DelayQueue {
 public:
  struct Packet {
    Nanos due;
    std::uint64_t number;  ///< keeps the order of packets that are due together
    int from, to;
    std::vector<char> data;
    bool operator>(const Packet& o) const { return std::tie(due, number) > std::tie(o.due, o.number); }
  };
  bool push(Nanos due, int from, int to, const char* data, std::size_t size) {
    if (bytes_ + size > kDelayedBytesMax) return false;
    bytes_ += size;
    queue_.push({due, ++number_, from, to, {data, data + size}});
    return true;
  }
  Nanos next_due() const { return queue_.empty() ? std::numeric_limits<Nanos>::max() : queue_.top().due; }
  Packet pop() {
    // A priority_queue shows its top as const only; it is popped in the same breath.
    Packet packet = std::move(const_cast<Packet&>(queue_.top()));
    queue_.pop();
    bytes_ -= packet.data.size();
    return packet;
  }

 private:
  std::priority_queue<Packet, std::vector<Packet>, std::greater<>> queue_;
  std::uint64_t number_ = 0;
  std::size_t bytes_ = 0;
};

Result<std::unique_ptr<Network>> Network::create(std::vector<std::string> addresses) {
  std::unique_ptr<Network> net(new Network);
  for (auto& address : addresses) {
    Space space;
    space.address = std::move(address);
    inet_pton(AF_INET, space.address.c_str(), &space.key);
    TRY_DO(elsewhere([&]() -> Result<> {
      if (unshare(CLONE_NEWNET) != 0) return failed("a network namespace");
      space.name_space = Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
      if (!space.name_space) return failed("/proc/thread-self/ns/net");
      TRY(space.tun, make_tun(space.address));
      return {};
    }));
    net->spaces_.push_back(std::move(space));
  }
  TRY_DO(net->join_directly());
  net->wires_ = std::make_unique<Wire[]>(net->spaces_.size() * net->spaces_.size());
  net->buffer_.resize(kPacketMax);
  net->stop_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  net->router_ = std::thread([n = net.get()] { n->carry(); });
  return net;
}

Network::~Network() {
  if (!router_.joinable()) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto told = write(stop_.get(), &one, sizeof one);
  router_.join();
}

Result<> Network::enter(int index) const {
  if (setns(namespace_fd(index), CLONE_NEWNET) != 0) return failed("network namespace");
  return {};
}

Result<> Network::join_directly() {
  for (int from = 0; from < size(); ++from) {
    for (int to = from + 1; to < size(); ++to) {
      Result<> joined;
      TRY_DO(elsewhere([&]() -> Result<> {
        TRY_DO(enter(from));
        joined = make_pair(pair_name(to), pair_name(from), namespace_fd(to));
        return joined ? bring_up(pair_name(to)) : Result<>{};
      }));
      // A kernel without such devices: every packet takes the router's way.
      if (!joined) return {};
      TRY_DO(elsewhere([&]() -> Result<> {
        TRY_DO(enter(to));
        return bring_up(pair_name(from));
      }));
    }
  }
  direct_ = true;
  for (int from = 0; from < size(); ++from) {
    for (int to = 0; to < size(); ++to) {
      if (from != to) TRY_DO(lead(from, to, true));
    }
  }
  return {};
}

Result<> Network::lead(int from, int to, bool directly) const {
  return elsewhere([&]() -> Result<> {
    TRY_DO(enter(from));
    const auto& address = spaces_[static_cast<std::size_t>(to)].address;
    return directly ? add_host_route(address, pair_name(to)) : remove_host_route(address, pair_name(to));
  });
}

Result<> Network::set(int from, int to, const Wire::State& state) {
  // First the wire: what meets it on the way there must already find the new state.
  const Wire::State before = wire(from, to).state();
  wire(from, to).set(state);
  const bool open = state == Wire::State{};
  if (!direct_ || open == (before == Wire::State{})) return {};
  return lead(from, to, open);
}

Network::Counts Network::counts() const { return {packets_.load(), bytes_.load(), dropped_.load()}; }

void Network::deliver(int to, const char* data, std::size_t size) {
  // A full or vanished device drops, as a network does.
  if (write(spaces_[static_cast<std::size_t>(to)].tun.get(), data, size) < 0) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  packets_.fetch_add(1, std::memory_order_relaxed);
  bytes_.fetch_add(size, std::memory_order_relaxed);
}

void Network::receive(int from, DelayQueue& queue) {
  const int tun = spaces_[static_cast<std::size_t>(from)].tun.get();
  // Bounded, so that one busy site does not starve the others.
  for (int i = 0; i < 64; ++i) {
    const auto got = read(tun, buffer_.data(), buffer_.size());
    if (got <= 0) return;
    const auto size = static_cast<std::size_t>(got);
    if (size < kAddressOffset + 4) continue;
    std::uint32_t key;
    std::memcpy(&key, buffer_.data() + kAddressOffset, sizeof key);
    const auto target = std::ranges::find(spaces_, key, &Space::key);
    if (target == spaces_.end()) continue;  // neither a site nor the clients: multicast and the like
    const int to = static_cast<int>(target - spaces_.begin());
    const Nanos now = now_ns();
    const auto leaves = wire(from, to).admit(now, size);
    if (leaves && *leaves <= now) {
      deliver(to, buffer_.data(), size);
    } else if (!leaves || !queue.push(*leaves, from, to, buffer_.data(), size)) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
    }
  }
}

void Network::carry() {
  prctl(PR_SET_NAME, "router");
  // A millisecond link should be a millisecond, not one and the timer's slack.
  prctl(PR_SET_TIMERSLACK, 1000);
  // Packets should be late because a link is slow, not because this thread waited for a core.
  const sched_param first{.sched_priority = 1};
  sched_setscheduler(0, SCHED_RR, &first);
  const Fd poll(epoll_create1(EPOLL_CLOEXEC));
  const auto watch = [&](int fd, int index) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = index}};
    epoll_ctl(poll.get(), EPOLL_CTL_ADD, fd, &event);
  };
  for (int i = 0; i < size(); ++i) watch(spaces_[static_cast<std::size_t>(i)].tun.get(), i);
  watch(stop_.get(), -1);

  DelayQueue queue;
  std::array<epoll_event, 8> events;
  while (true) {
    timespec wait{};
    const bool delayed = queue.next_due() != std::numeric_limits<Nanos>::max();
    if (delayed) {
      const Nanos left = std::max<Nanos>(queue.next_due() - now_ns(), 0);
      wait = {.tv_sec = left / kSecond, .tv_nsec = left % kSecond};
    }
    const int n =
        epoll_pwait2(poll.get(), events.data(), static_cast<int>(events.size()), delayed ? &wait : nullptr, nullptr);
    for (int i = 0; i < n; ++i) {
      const int index = events[static_cast<std::size_t>(i)].data.fd;
      if (index < 0) return;
      receive(index, queue);
    }
    const Nanos now = now_ns();
    while (queue.next_due() <= now) {
      const auto packet = queue.pop();
      // A cut takes what is on the wire with it.
      if (wire(packet.from, packet.to).state().cut) dropped_.fetch_add(1, std::memory_order_relaxed);
      else deliver(packet.to, packet.data.data(), packet.data.size());
    }
  }
}

}  // namespace haechi::drill
