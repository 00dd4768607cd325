#include "net/target_guard.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/text.hpp"
#include "net/client.hpp"

namespace haechi::net {
namespace {

/// Every address as IPv6; IPv4 in its mapped form, so that one comparison serves both.
using Bytes = std::array<std::uint8_t, 16>;

struct Block {
  Bytes address{};
  int bits = 128;
};

constexpr Bytes kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::optional<Bytes> parse_address(std::string_view text) {
  const std::string z(text);
  Bytes out = kMapped;
  if (::inet_pton(AF_INET, z.c_str(), out.data() + 12) == 1) return out;
  if (::inet_pton(AF_INET6, z.c_str(), out.data()) == 1) return out;
  return std::nullopt;
}

std::optional<Block> parse_block(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  const int offset = text.substr(0, slash).find(':') == std::string_view::npos ? 96 : 0;
  if (slash == std::string_view::npos) return Block{*address, 128};
  const auto bits = parse_int(text.substr(slash + 1));
  if (!bits || *bits < 0 || *bits > 128 - offset) return std::nullopt;
  return Block{*address, static_cast<int>(*bits) + offset};
}

bool inside(const Bytes& address, const Block& block) {
  const auto whole = static_cast<std::size_t>(block.bits / 8);
  if (!std::equal(address.begin(), address.begin() + static_cast<std::ptrdiff_t>(whole), block.address.begin()))
    return false;
  const int rest = block.bits % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff << (8 - rest));
  return (address[whole] & mask) == (block.address[whole] & mask);
}

/// IANA's special-purpose registries: nothing of these is on the public Internet.
const std::vector<Block>& private_blocks() {
  static const std::vector<Block> blocks = [] {
    std::vector<Block> out;
    for (const char* text : {"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
                             "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
                             "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
                             // Everything but global unicast, then the reserved parts of that.
                             "::/3", "4000::/2", "8000::/1", "2001::/23", "2001:db8::/32", "3fff::/20"}) {
      out.push_back(*parse_block(text));
    }
    return out;
  }();
  return blocks;
}

/// The IPv4 address that an IPv6 transition address leads to.
std::optional<Bytes> embedded_v4(const Bytes& a) {
  Bytes out = kMapped;
  const auto starts = [&](std::initializer_list<std::uint8_t> prefix) {
    return std::equal(prefix.begin(), prefix.end(), a.begin());
  };
  if (starts({0x20, 0x02})) {  // 6to4
    std::copy_n(a.begin() + 2, 4, out.begin() + 12);
    return out;
  }
  if (starts({0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) {  // NAT64
    std::copy_n(a.begin() + 12, 4, out.begin() + 12);
    return out;
  }
  return std::nullopt;
}

bool allowed(const Bytes& address, const std::vector<std::string>& ranges) {
  for (const auto& text : ranges) {
    const auto block = parse_block(text);
    if (block && inside(address, *block)) return true;
  }
  if (const auto v4 = embedded_v4(address)) return allowed(*v4, ranges);
  const bool is_v4 = inside(address, {kMapped, 96});
  for (const auto& block : private_blocks()) {
    // The IPv6 blocks, read as bytes, would cover every mapped IPv4 address.
    if (is_v4 == (block.bits >= 96 && inside(block.address, {kMapped, 96})) && inside(address, block)) return false;
  }
  return true;
}

}  // namespace

bool target_allowed(std::string_view address, const std::vector<std::string>& allowed_private_ranges) {
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  const auto bytes = parse_address(address);
  return bytes && allowed(*bytes, allowed_private_ranges);
}

bool target_allowed(const sockaddr& address, const std::vector<std::string>& allowed_private_ranges) {
  Bytes bytes = kMapped;
  if (address.sa_family == AF_INET) {
    std::memcpy(bytes.data() + 12, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
  } else if (address.sa_family == AF_INET6) {
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, 16);
  } else {
    return false;
  }
  return allowed(bytes, allowed_private_ranges);
}

Result<> check_cidr(std::string_view text) {
  if (parse_block(text)) return {};
  return fail(haechi::Errc::Invalid, "not an address block such as 10.0.0.0/8: " + std::string(text));
}

}  // namespace haechi::net
