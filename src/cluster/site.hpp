#pragma once
// A site: one building, with its share of everything.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace haechi::cluster {

struct Site {
  std::string name;                ///< a plain identifier
  std::vector<std::string> nodes;  ///< base URLs of its Haechi nodes
  std::string postgresql;          ///< "host:port"
  std::string patroni;             ///< base URL of its REST API
  std::string etcd;                ///< base URL of its client API
};

/// "host:port" of a URL, without user and path; the scheme's port where none is written.
std::string host_port_of(std::string_view url);

/// Null when there is none.
const Site* find_site(std::span<const Site> sites, std::string_view name);

/// What operators want of a site; kept in etcd, so that every site knows it and it outlives each.
enum class SiteState { InService, Evacuating, Evacuated };
std::string_view name_of(SiteState state);
/// InService for what it does not know.
SiteState site_state_of(std::string_view text);

}  // namespace haechi::cluster
