#pragma once
// A node that does as a test tells it: answers, stays silent, hangs up.

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "drill/fd.hpp"

namespace haechi::drill {

class FakeNode {
 public:
  /// What to write for a request; "" hangs up, kSilent says nothing and keeps the connection.
  using Answer = std::function<std::string(const std::string& request)>;
  static constexpr const char* kSilent = "\x01";

  static std::string http(int status, const std::string& body) {
    return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           body;
  }

  explicit FakeNode(Answer answer) : answer_(std::move(answer)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    ::bind(listener_.get(), generic, size);
    ::listen(listener_.get(), 64);
    ::getsockname(listener_.get(), generic, &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](std::stop_token stop) { serve(stop); });
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  /// Requests so far, without those for health.
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  struct Peer {
    Fd fd;
    std::string in;
  };

  void serve(const std::stop_token& stop) {
    std::vector<Peer> peers;
    while (!stop.stop_requested()) {
      std::vector<pollfd> polled{{listener_.get(), POLLIN, 0}};
      for (const auto& p : peers) polled.push_back({p.fd.get(), POLLIN, 0});
      ::poll(polled.data(), polled.size(), 5);
      for (std::size_t i = polled.size(); i-- > 1;) {
        if (polled[i].revents != 0 && !talk(peers[i - 1]))
          peers.erase(peers.begin() + static_cast<std::ptrdiff_t>(i - 1));
      }
      if (polled[0].revents != 0) peers.push_back({Fd(::accept(listener_.get(), nullptr, nullptr)), {}});
    }
  }

  bool talk(Peer& peer) {
    char buffer[65536];
    const auto n = ::recv(peer.fd.get(), buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    peer.in.append(buffer, static_cast<std::size_t>(n));
    const auto head = peer.in.find("\r\n\r\n");
    if (head == std::string::npos) return true;
    const auto length = peer.in.find("Content-Length: ");
    const auto body = length < head ? std::stoul(peer.in.substr(length + 16)) : 0;
    if (peer.in.size() < head + 4 + body) return true;
    const auto request = peer.in.substr(0, head + 4 + body);
    peer.in.erase(0, request.size());
    if (!request.starts_with("GET /health")) {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const auto answer = answer_(request);
    if (answer == kSilent) return true;
    return !answer.empty() && ::send(peer.fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL) > 0;
  }

  Answer answer_;
  Fd listener_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::jthread thread_;  // last: it uses all the others
};

}  // namespace haechi::drill
