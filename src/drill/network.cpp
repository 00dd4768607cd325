#include "drill/network.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <queue>

namespace haechi::drill {
namespace {

constexpr int kMtu = 16'000;
constexpr int kQueuePackets = 10'000;
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

sockaddr address_of(const std::string& text) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  inet_pton(AF_INET, text.c_str(), &in.sin_addr);
  sockaddr out{};
  std::memcpy(&out, &in, sizeof in);
  return out;
}

ifreq request(const char* device) {
  ifreq r{};
  std::strncpy(r.ifr_name, device, IFNAMSIZ - 1);
  return r;
}

Result<> bring_up(int socket, const char* device) {
  ifreq r = request(device);
  if (ioctl(socket, SIOCGIFFLAGS, &r) != 0) return failed(device);
  r.ifr_flags = static_cast<short>(r.ifr_flags | IFF_UP | IFF_RUNNING);
  if (ioctl(socket, SIOCSIFFLAGS, &r) != 0) return failed(device);
  return {};
}

Result<Fd> make_tun(const std::string& address) {
  Fd tun(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!tun) return failed("/dev/net/tun");
  // The kernel leaves checksums and the cutting into segments to whoever needs them: nobody here does.
  ifreq r = request("site0");
  r.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR);
  if (ioctl(tun.get(), TUNSETIFF, &r) != 0) return failed("a TUN device");
  if (ioctl(tun.get(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) != 0) return failed("TUN offload");

  const Fd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  r = request("site0");
  r.ifr_addr = address_of(address);
  if (ioctl(control.get(), SIOCSIFADDR, &r) != 0) return failed("address " + address);
  r = request("site0");
  r.ifr_mtu = kMtu;
  if (ioctl(control.get(), SIOCSIFMTU, &r) != 0) return failed("MTU");
  r = request("site0");
  r.ifr_qlen = kQueuePackets;
  if (ioctl(control.get(), SIOCSIFTXQLEN, &r) != 0) return failed("queue of the TUN device");
  TRY_DO(bring_up(control.get(), "site0"));
  TRY_DO(bring_up(control.get(), "lo"));
  rtentry route{};
  route.rt_dst = address_of("0.0.0.0");
  route.rt_genmask = address_of("0.0.0.0");
  std::string device = "site0";
  route.rt_dev = device.data();
  route.rt_flags = RTF_UP;
  if (ioctl(control.get(), SIOCADDRT, &route) != 0 && errno != EEXIST) return failed("route");
  return tun;
}

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

void Network::set(int from, int to, const Wire::State& state) { wire(from, to).set(state); }

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
