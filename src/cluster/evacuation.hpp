#pragma once
// The planned way out of a site and back, in steps that can be interrupted anywhere and
// run again: what is done already is found done. What is wanted of the site is kept in
// etcd, where every node hears of it within a second.

#include <functional>
#include <string>

#include "base/loop.hpp"
#include "cluster/dcs.hpp"
#include "cluster/survey.hpp"

namespace haechi::cluster {

/// One line for people.
using Tell = std::function<void(const std::string&)>;

struct EvacuationOptions {
  /// Go on although the platform would not survive without the site.
  bool force = false;
  /// How long clients may take to leave; those that are left are served as long as the site stands.
  Duration drain_max = std::chrono::seconds(60);
  /// For the database's hand-over, and for a returned site to be whole again.
  Duration step_max = std::chrono::seconds(60);
  WallMs now_ms = 0;  ///< noted with the mark
};

/// Errc::NotFound: no such site; Errc::Conflict: refused, with the reason; Errc::Timeout: run it again.
Task<Result<>> evacuate(Loop& loop, Dcs& dcs, std::string site, EvacuationOptions options, Tell tell);
Task<Result<>> return_site(Loop& loop, Dcs& dcs, std::string site, EvacuationOptions options, Tell tell);

}  // namespace haechi::cluster
