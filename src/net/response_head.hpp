#pragma once
// Private to net/: status line and headers of an answer. What every answer carries
// is one precomputed text, renewed once a second for its Date.

#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "net/http.hpp"

namespace haechi::net {

enum class Persist : std::uint8_t { Default, KeepAlive, Close };

class ResponseHead {
 public:
  ResponseHead(const Clock& clock, bool cors);

  struct Extra {
    Persist persist = Persist::Default;
    bool gzipped = false;
    bool vary = false;  ///< another Accept-Encoding would have got other bytes
  };
  /// Appends the head of `response`, whose body is `length` bytes.
  void append(std::string& out, const Response& response, std::uint64_t length, Extra extra, Instant now);

 private:
  const Clock& clock_;
  std::string common_;
  std::size_t date_at_ = 0;
  Instant renew_at_{};
};

/// Length of the body in bytes.
std::uint64_t body_length(const Response& response);

}  // namespace haechi::net
