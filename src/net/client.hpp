#pragma once
// Requests to the outside (push gateways, URL previews), by libcurl on a small
// pool. Targets are guarded: after name resolution and after every redirect the
// address actually connected to must be allowed.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.hpp"
#include "base/result.hpp"

namespace haechi::net {

struct ClientOptions {
  std::size_t threads = 2;
  std::size_t queue_max = 1000;
  std::string user_agent = "Haechi";
  std::string extra_ca_file;  ///< trusted besides the system's
};

struct ClientRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::uint64_t response_bytes_max = 1024 * 1024;  ///< Errc::TooLarge past it
  Duration timeout = std::chrono::seconds(10);     ///< for the whole exchange
  int redirects_max = 0;
  /// Private, loopback, link-local, multicast and reserved ranges (IPv4, IPv6 and
  /// IPv4-mapped) are refused unless inside one of these CIDR blocks.
  std::vector<std::string> allowed_private_ranges;
};

struct ClientResponse {
  int status = 0;
  std::string content_type;
  std::string final_url;
  std::string body;
};

/// May be called on the loop thread only. Destruction waits for running requests (bounded by their timeouts).
class Client {
 public:
  Client(Loop& loop, ClientOptions options);
  ~Client();
  Task<Result<ClientResponse>> send(ClientRequest request);
  /// Ends what is under way within a second or so and refuses what comes: Errc::Cancelled.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// True when `address` (textual IPv4 or IPv6) may be connected to under the rules above.
bool target_allowed(std::string_view address, const std::vector<std::string>& allowed_private_ranges);
/// Errc::Invalid when `text` is not a CIDR block.
Result<> check_cidr(std::string_view text);

}  // namespace haechi::net
