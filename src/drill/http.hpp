#pragma once
// One HTTP request over a fresh connection, with a deadline for all of it: for
// asking etcd, Patroni and nodes how they are, also from a process that has no
// loop and may not wait for one.

#include <chrono>
#include <string>

#include "base/result.hpp"

namespace haechi::drill {

struct HttpReply {
  int status = 0;
  std::string body;
};

/// `url` is http://ADDRESS:PORT/path with an IPv4 address. Errc::Unavailable when there is no answer in time.
Result<HttpReply> http(std::string_view method, const std::string& url, std::string_view body = {},
                       std::chrono::milliseconds deadline = std::chrono::seconds(1));

/// True when GET `url` answers with 200 in time.
bool answers_ok(const std::string& url, std::chrono::milliseconds deadline = std::chrono::seconds(1));

}  // namespace haechi::drill
