#include "drill/devices.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace haechi::drill {
namespace {

constexpr int kQueuePackets = 10'000;
constexpr const char* kTun = "site0";

std::unexpected<Error> failed(const std::string& what) { return fail(Errc::Io, what + ": " + std::strerror(errno)); }

Fd control() { return Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }

sockaddr address_of(const std::string& text) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  inet_pton(AF_INET, text.c_str(), &in.sin_addr);
  sockaddr out{};
  std::memcpy(&out, &in, sizeof in);
  return out;
}

ifreq request(const std::string& device) {
  ifreq r{};
  std::strncpy(r.ifr_name, device.c_str(), IFNAMSIZ - 1);
  return r;
}

rtentry route_to(const std::string& address, const char* mask, std::string& device) {
  rtentry route{};
  route.rt_dst = address_of(address);
  route.rt_genmask = address_of(mask);
  route.rt_dev = device.data();
  route.rt_flags = RTF_UP;
  return route;
}

/// A netlink request that grows by attributes, which may nest.
class Message {
 public:
  Message(std::uint16_t type, std::uint16_t flags) {
    nlmsghdr head{.nlmsg_type = type, .nlmsg_flags = flags};
    put(&head, sizeof head);
  }
  void put(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const char*>(data);
    bytes_.insert(bytes_.end(), bytes, bytes + size);
    bytes_.resize((bytes_.size() + 3) & ~std::size_t{3});
  }
  void attribute(std::uint16_t type, const void* data, std::size_t size) {
    const auto at = begin(type);
    put(data, size);
    set_length(at, RTA_LENGTH(size));
  }
  void attribute(std::uint16_t type, const std::string& text) { attribute(type, text.c_str(), text.size() + 1); }
  std::size_t begin(std::uint16_t type) {
    const auto at = bytes_.size();
    const rtattr head{.rta_len = 0, .rta_type = type};
    put(&head, sizeof head);
    return at;
  }
  void end(std::size_t at) { set_length(at, bytes_.size() - at); }
  std::span<const char> finish() {
    const auto size = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &size, sizeof size);
    return bytes_;
  }

 private:
  void set_length(std::size_t at, std::size_t length) {
    const auto n = static_cast<std::uint16_t>(length);
    std::memcpy(bytes_.data() + at, &n, sizeof n);
  }
  std::vector<char> bytes_;
};

}  // namespace

Result<> bring_up(const std::string& device) {
  const Fd s = control();
  ifreq r = request(device);
  if (ioctl(s.get(), SIOCGIFFLAGS, &r) != 0) return failed(device);
  r.ifr_flags = static_cast<short>(r.ifr_flags | IFF_UP | IFF_RUNNING);
  if (ioctl(s.get(), SIOCSIFFLAGS, &r) != 0) return failed(device);
  return {};
}

Result<Fd> make_tun(const std::string& address) {
  Fd tun(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!tun) return failed("/dev/net/tun");
  // The kernel leaves checksums and the cutting into segments to whoever needs them: nobody here does.
  ifreq r = request(kTun);
  r.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR);
  if (ioctl(tun.get(), TUNSETIFF, &r) != 0) return failed("a TUN device");
  if (ioctl(tun.get(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) != 0) return failed("TUN offload");

  const Fd s = control();
  r = request(kTun);
  r.ifr_addr = address_of(address);
  if (ioctl(s.get(), SIOCSIFADDR, &r) != 0) return failed("address " + address);
  r = request(kTun);
  r.ifr_netmask = address_of("255.255.255.255");
  if (ioctl(s.get(), SIOCSIFNETMASK, &r) != 0) return failed("netmask");
  r = request(kTun);
  r.ifr_mtu = kMtu;
  if (ioctl(s.get(), SIOCSIFMTU, &r) != 0) return failed("MTU");
  r = request(kTun);
  r.ifr_qlen = kQueuePackets;
  // Only the machine's own root may; without, a burst loses packets and TCP sends them again.
  (void)ioctl(s.get(), SIOCSIFTXQLEN, &r);
  TRY_DO(bring_up(kTun));
  TRY_DO(bring_up("lo"));
  std::string device = kTun;
  const rtentry route = route_to("0.0.0.0", "0.0.0.0", device);
  if (ioctl(s.get(), SIOCADDRT, &route) != 0) return failed("default route");
  return tun;
}

Result<> make_pair(const std::string& name, const std::string& peer_name, int peer_space) {
  const Fd netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!netlink) return failed("netlink");
  Message m(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
  const ifinfomsg none{};
  const std::uint32_t mtu = kMtu;
  m.put(&none, sizeof none);
  m.attribute(IFLA_IFNAME, name);
  m.attribute(IFLA_MTU, &mtu, sizeof mtu);
  const auto info = m.begin(IFLA_LINKINFO);
  m.attribute(IFLA_INFO_KIND, std::string("veth"));
  const auto data = m.begin(IFLA_INFO_DATA);
  const auto peer = m.begin(VETH_INFO_PEER);
  m.put(&none, sizeof none);
  m.attribute(IFLA_IFNAME, peer_name);
  m.attribute(IFLA_MTU, &mtu, sizeof mtu);
  m.attribute(IFLA_NET_NS_FD, &peer_space, sizeof peer_space);
  m.end(peer);
  m.end(data);
  m.end(info);
  const auto bytes = m.finish();
  if (send(netlink.get(), bytes.data(), bytes.size(), 0) < 0) return failed("netlink");
  std::array<char, 4096> answer{};
  const auto got = recv(netlink.get(), answer.data(), answer.size(), 0);
  nlmsgerr result{};
  if (got < static_cast<ssize_t>(sizeof(nlmsghdr) + sizeof(nlmsgerr))) return fail(Errc::Io, "netlink: a short answer");
  std::memcpy(&result, answer.data() + sizeof(nlmsghdr), sizeof result);
  if (result.error != 0) return fail(Errc::Io, std::string("a pair of devices: ") + std::strerror(-result.error));
  return {};
}

Result<> add_host_route(const std::string& address, const std::string& device) {
  std::string name = device;
  const rtentry route = route_to(address, "255.255.255.255", name);
  if (ioctl(control().get(), SIOCADDRT, &route) != 0 && errno != EEXIST) return failed("route to " + address);
  return {};
}

Result<> remove_host_route(const std::string& address, const std::string& device) {
  std::string name = device;
  const rtentry route = route_to(address, "255.255.255.255", name);
  if (ioctl(control().get(), SIOCDELRT, &route) != 0 && errno != ESRCH) return failed("route to " + address);
  return {};
}

}  // namespace haechi::drill
