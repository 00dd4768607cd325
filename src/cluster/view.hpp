#pragma once
// What Patroni wrote into etcd (v2 API), read: who leads, who confirms commits, who there is.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "cluster/site.hpp"

namespace haechi::cluster {

struct PatroniMember {
  std::string name;
  std::string site;   ///< empty: its addresses belong to none
  std::string state;  ///< "running", "stopping", ...
  std::string role;   ///< "master", "replica", ...
  std::int64_t timeline = 0;
  std::string value;  ///< as it stands in etcd
  std::int64_t index = 0;
  bool no_failover = false;
  bool no_sync = false;
};

struct View {
  std::string leader;             ///< the member that holds the leader key; empty: nobody does
  std::int64_t leader_index = 0;  ///< grows each time the leader renews its key
  std::string sync_leader;        ///< who wrote the list below
  std::vector<std::string> sync_standbys;
  std::vector<PatroniMember> members;
  std::int64_t loop_wait = 10;
  bool strict_sync = false;
  bool failover_pending = false;

  const PatroniMember* member(std::string_view name) const;
  const PatroniMember* at_site(std::string_view site) const;
  /// The leader's; empty where it is not known.
  std::string leader_site() const;
  /// That of the first synchronous standby.
  std::string sync_site() const;
};

/// From the answer to a recursive GET of the scope's directory.
Result<View> parse_view(std::string_view body, std::span<const Site> sites);

/// The member's value with a tag set: "nofailover" takes it out of the questions that a
/// candidate asks before it takes over, "nosync" out of the list of synchronous standbys.
/// The member writes its own value back within a second of being alive.
std::optional<std::string> with_tag(std::string_view value, std::string_view tag);

/// What operators want of each site, from a recursive GET of its directory. Absent: in service.
struct SiteMark {
  SiteState state = SiteState::InService;
  std::string since;
};
std::map<std::string, SiteMark, std::less<>> parse_marks(std::string_view body);

/// The index that an answer of etcd names its node's state by; 0 when there is none.
std::int64_t modified_index(std::string_view body);
/// etcd's "errorCode"; 0 for none.
std::int64_t etcd_error(std::string_view body);

namespace etcd_code {
inline constexpr std::int64_t kNotFound = 100;
inline constexpr std::int64_t kCompareFailed = 101;
}  // namespace etcd_code

}  // namespace haechi::cluster
