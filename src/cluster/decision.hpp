#pragma once
// What a supervisor does about a silent site: a pure function of what it sees.

#include <map>
#include <string>

#include "cluster/silence.hpp"
#include "cluster/view.hpp"

namespace haechi::cluster {

/// Everything that a decision rests on.
struct Scene {
  std::string own;                                     ///< the site that this supervisor stands in
  std::map<std::string, Verdict, std::less<>> others;  ///< by name of site
  std::size_t etcd_members = 0;                        ///< of the platform
  std::size_t etcd_answering = 0;                      ///< that answered this supervisor just now, the own among them
  View view;
};

/// How long a site must be silent. The supervisors nearest to the remedy go first; the others
/// come in only where those did not.
struct Limits {
  Duration leader_refuses = std::chrono::milliseconds(500);
  Duration leader_silent = std::chrono::milliseconds(1000);
  Duration standby_refuses = std::chrono::milliseconds(200);
  Duration standby_silent = std::chrono::milliseconds(500);
  Duration second_turn = std::chrono::milliseconds(700);  ///< on top, for the other supervisors
};

struct Decision {
  enum class Act : std::uint8_t {
    Nothing,
    /// Release the leader key that `member` of the dead `site` still holds.
    ReplaceLeader,
    /// Have the leader choose another synchronous standby than `member` of the silent `site`.
    ReplaceStandby,
  };
  Act act = Act::Nothing;
  std::string site;
  std::string member;
  /// The candidate stands in our own site, from where the old leader was seen to be silent: it
  /// need not ask the old leader once more, for two seconds, whether it is alive.
  bool spare_the_question = false;
};

Decision decide(const Scene& scene, const Limits& limits);

}  // namespace haechi::cluster
