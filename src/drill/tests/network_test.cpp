#include "drill/network.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>

namespace haechi::drill {
namespace {

sockaddr_in at(const char* address) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(7000);
  inet_pton(AF_INET, address, &a.sin_addr);
  return a;
}

Fd udp_in(const Network& network, int index, const char* address) {
  Fd out;
  std::thread([&] {
    REQUIRE(network.enter(index));
    out = Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto a = at(address);
    REQUIRE(bind(out.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0);
  }).join();
  return out;
}

void send_to(const Fd& from, const char* address, char what) {
  const auto a = at(address);
  REQUIRE(sendto(from.get(), &what, 1, 0, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 1);
}

/// What arrives within the time, or nothing.
std::optional<char> receive(const Fd& at, int timeout_ms) {
  pollfd p{.fd = at.get(), .events = POLLIN, .revents = 0};
  char c = 0;
  if (poll(&p, 1, timeout_ms) != 1 || recv(at.get(), &c, 1, 0) != 1) return std::nullopt;
  return c;
}

}  // namespace

TEST_CASE("packets go from each network to each other, and a cut in one direction stops that one only") {
  const auto made = Network::create({"10.83.1.1", "10.83.2.1", "10.83.3.1"});
  if (!made) {
    MESSAGE("skipped, no right to make networks: " << made.error().message);
    return;
  }
  auto& network = **made;
  const Fd a = udp_in(network, 0, "10.83.1.1");
  const Fd b = udp_in(network, 1, "10.83.2.1");
  const Fd c = udp_in(network, 2, "10.83.3.1");
  send_to(a, "10.83.2.1", '1');
  CHECK(receive(b, 5000) == '1');
  send_to(b, "10.83.3.1", '2');
  CHECK(receive(c, 5000) == '2');

  REQUIRE(network.set(0, 1, {.cut = true}));
  send_to(a, "10.83.2.1", '3');
  // Behind it, another way that is open: once this has arrived, the other would have, too.
  send_to(a, "10.83.3.1", '4');
  CHECK(receive(c, 5000) == '4');
  CHECK_FALSE(receive(b, 0));
  send_to(b, "10.83.1.1", '5');
  CHECK(receive(a, 5000) == '5');
  CHECK(network.counts().dropped >= 1);

  REQUIRE(network.set(0, 1, {}));
  send_to(a, "10.83.2.1", '6');
  CHECK(receive(b, 5000) == '6');
}

TEST_CASE("a slow link delivers late and whole") {
  const auto made = Network::create({"10.83.1.1", "10.83.2.1"});
  if (!made) return;
  auto& network = **made;
  const Fd a = udp_in(network, 0, "10.83.1.1");
  const Fd b = udp_in(network, 1, "10.83.2.1");
  REQUIRE(network.set(0, 1, {.delay = 30 * kMillisecond}));
  const Nanos sent = now_ns();
  send_to(a, "10.83.2.1", '1');
  CHECK(receive(b, 5000) == '1');
  CHECK(now_ns() - sent >= 30 * kMillisecond);
  SUBCASE("unless the link is cut while it is under way") {
    send_to(a, "10.83.2.1", '2');
    REQUIRE(network.set(0, 1, {.cut = true}));
    CHECK_FALSE(receive(b, 100));
  }
}

}  // namespace haechi::drill
