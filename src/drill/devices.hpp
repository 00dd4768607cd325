#pragma once
// Network devices and routes of the calling thread's network namespace, made by
// the kernel's own interfaces: a drill depends on no tool for it.

#include <string>

#include "base/result.hpp"
#include "drill/fd.hpp"

namespace haechi::drill {

/// Large: what a site's packets cost is their number.
inline constexpr int kMtu = 16'000;

/// A TUN device with this address and the default route, up, as lo is afterwards. Packets read
/// from and written to the descriptor begin with a virtio_net_hdr.
Result<Fd> make_tun(const std::string& address);

/// Two joined Ethernet devices, one here and one in the namespace `peer_space`. Not yet up.
Result<> make_pair(const std::string& name, const std::string& peer_name, int peer_space);

Result<> bring_up(const std::string& device);

/// The way to one host leads through `device`, or as the default route says.
Result<> add_host_route(const std::string& address, const std::string& device);
Result<> remove_host_route(const std::string& address, const std::string& device);

}  // namespace haechi::drill
