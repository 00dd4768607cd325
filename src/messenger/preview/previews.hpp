#pragma once
// URL previews: fetched once for all who ask, from guarded targets, kept for an hour.

#include <list>
#include <memory>
#include <string>

#include "base/pool.hpp"
#include "base/text.hpp"
#include "blob/media.hpp"
#include "messenger/options.hpp"
#include "messenger/room/room.hpp"
#include "net/client.hpp"

namespace haechi::messenger {

/// Loop thread only.
class Previews {
 public:
  Previews(Loop& loop, net::Client& client, blob::Media& media, Options::Preview options);

  /// The OpenGraph object as JSON text. Errc::Forbidden for hosts that the operator
  /// denies, Errc::InvalidParam for anything but http(s), Errc::Upstream when it cannot be fetched.
  Task<Result<std::string>> of(std::string user, std::string url);

 private:
  struct Entry {
    std::string url;
    std::string body;
    Instant until{};
  };
  Result<> allowed(std::string_view url) const;
  Task<Result<std::string>> fetch(std::string user, std::string url);
  Task<Result<>> attach_image(std::string user, std::string url, json::object& page);
  Task<Result<std::string>> keep_image(std::string user, net::ClientResponse image);
  net::ClientRequest request(std::string url) const;
  void remember(std::string url, std::string body);

  Loop& loop_;
  net::Client& client_;
  blob::Media& media_;
  Options::Preview options_;
  BlockingPool parser_;
  std::list<Entry> recent_;  ///< front: newest
  TextMap<std::list<Entry>::iterator> by_url_;
  TextMap<std::vector<Waiter*>> fetching_;
};

}  // namespace haechi::messenger
