#pragma once
// Private to net/: one request and its answer.

#include <optional>
#include <string>

#include "net/router.hpp"

namespace haechi::net {

/// Gives the memory back, which assigning an empty string does not.
inline void release(std::string& text) { std::string().swap(text); }

/// Kept small while a long poll is parked: the bytes of the head, the views into
/// them, and nothing of the connection's buffers.
struct Exchange {
  Request request;
  std::string head;  ///< what the request's views point into
  std::string body;
  std::optional<Canceller> canceller;
  const Router::Route* route = nullptr;
  std::string allow;  ///< for 405
  bool path_known = false;
  bool keep_alive = true;
  bool http_1_0 = false;
  bool continue_owed = false;    ///< the client waits for "100 Continue"
  bool continue_wanted = false;  ///< and somebody is about to read the body
  bool gzipped = false;
  bool vary = false;
  bool done = false;
  std::uint64_t body_bytes = 0;
  std::uint64_t body_bytes_max = 0;
  Instant started{};
  Response response;

  /// Ready for another request; keeps small buffers to spare the allocator.
  void reset() {
    constexpr std::size_t kKeep = 2048;
    auto headers = std::move(request.headers);
    headers.clear();
    auto params = std::move(request.params);
    params.clear();
    request = {};
    request.headers = std::move(headers);
    request.params = std::move(params);
    if (head.capacity() > kKeep) release(head);
    if (body.capacity() > kKeep) release(body);
    head.clear();
    body.clear();
    canceller.reset();
    route = nullptr;
    allow.clear();
    path_known = false;
    keep_alive = true;
    http_1_0 = continue_owed = continue_wanted = gzipped = vary = done = false;
    body_bytes = body_bytes_max = 0;
    response = {};
  }
};

}  // namespace haechi::net
