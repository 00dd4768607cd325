#pragma once
// The networks of a drill on one machine: each site and the clients have a network
// namespace of their own. Where nothing is in the way, packets go straight from one
// to the other through a pair of devices of the kernel. As soon as a link is cut or
// slowed, its packets are led to a TUN device instead, and one thread here carries,
// delays or drops them: exactly, in each direction, whatever runs at the ends. Nothing
// of the machine's own network is touched, and the kernel removes all of it with the
// last process that used it.

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.hpp"
#include "drill/fd.hpp"
#include "drill/wire.hpp"

namespace haechi::drill {

class DelayQueue;

/// Needs CAP_SYS_ADMIN and CAP_NET_ADMIN. create() may be called on any thread;
/// links may be set from any thread while packets flow.
class Network {
 public:
  /// One namespace for each address ("10.83.1.1"), each reachable from all others.
  static Result<std::unique_ptr<Network>> create(std::vector<std::string> addresses);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// Moves the calling thread into a namespace.
  Result<> enter(int index) const;
  /// For setns() in a child.
  int namespace_fd(int index) const { return spaces_[static_cast<std::size_t>(index)].name_space.get(); }
  int size() const { return static_cast<int>(spaces_.size()); }

  /// Sets one direction. What is already on its way still arrives, unless the wire is cut.
  Result<> set(int from, int to, const Wire::State& state);
  Wire::State state(int from, int to) const { return wire(from, to).state(); }

  /// What the router carried; what went straight is not counted.
  struct Counts {
    std::uint64_t packets = 0, bytes = 0, dropped = 0;
  };
  Counts counts() const;

 private:
  struct Space {
    std::string address;
    Fd name_space, tun;
    std::uint32_t key = 0;  ///< the address as it stands in a packet
  };

  Network() = default;
  Result<> join_directly();
  Result<> lead(int from, int to, bool directly) const;
  void carry();
  void receive(int from, DelayQueue& queue);
  void deliver(int to, const char* data, std::size_t size);
  Wire& wire(int from, int to) const {
    return wires_[static_cast<std::size_t>(from) * spaces_.size() + static_cast<std::size_t>(to)];
  }

  std::vector<Space> spaces_;
  std::unique_ptr<Wire[]> wires_;
  bool direct_ = false;
  Fd stop_;
  std::vector<char> buffer_;
  std::atomic<std::uint64_t> packets_{0}, bytes_{0}, dropped_{0};
  std::thread router_;
};

}  // namespace haechi::drill
