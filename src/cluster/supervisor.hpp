#pragma once
// Stands in every node and watches the other sites. Patroni alone gives a silent leader
// its whole time to live, 20 s; here the leader key is taken from a site that has been
// dead for a second, by a compare-and-delete that fails if the leader was alive after
// all. Patroni still picks the successor and guards every commit: an error here costs a
// pause of a second, never an acknowledged change.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.hpp"
#include "base/metrics.hpp"
#include "cluster/dcs.hpp"
#include "cluster/decision.hpp"

namespace haechi::cluster {

struct SupervisorOptions {
  std::string own;  ///< the name of the site that this node stands in
  std::vector<Site> sites;
  std::string scope = "haechi";
  Limits limits;
  Duration tick = std::chrono::milliseconds(100);
};

/// Loop thread only. start, stop, destroy.
class Supervisor {
 public:
  Supervisor(Loop& loop, Asker& asker, Metrics& metrics, SupervisorOptions options);
  ~Supervisor();

  void start();
  /// Errands under way end within a second.
  Task<void> stop();

  /// What operators want of the own site, as last heard.
  SiteState state() const { return state_; }
  /// Whether too few etcd members answer this site for it to stand with the majority.
  bool cut_off() const;
  /// Called when that changes. Before start().
  void on_state(std::function<void(SiteState)> hear) { hear_state_ = std::move(hear); }

 private:
  struct Target {
    Target(const Site& s, Instant now) : site(s), silence(now), etcd_heard(now) {}
    const Site& site;
    Silence silence;
    Instant etcd_heard;
    std::size_t open[2] = {0, 0};
  };

  Task<void> run();
  Task<void> ask(Target& target, Part part);
  void probe(Instant now);
  void judge(Instant now);
  Task<void> refresh();
  Task<void> note_leader_index(std::string member);
  Task<void> act(Decision decision);
  Task<void> replace_leader(Decision decision);
  Task<void> replace_standby(Decision decision);
  /// Hurries the members along until a new leader has a standby.
  Task<void> usher(std::string old_leader, View before);
  Task<void> wake_all(std::int64_t loop_wait, std::function<bool(const Target&)> which);
  Task<void> settle_etcd_leader();
  bool silent(const Target& t) const;
  Target* target(std::string_view site);
  Task<bool> pause(Duration d);  ///< false once stopping

  Loop& loop_;
  const SupervisorOptions options_;
  Dcs dcs_;
  std::vector<std::unique_ptr<Target>> targets_;
  std::optional<View> view_;
  SiteState state_ = SiteState::InService;
  std::function<void(SiteState)> hear_state_;
  Instant last_tick_{};
  Instant last_refresh_{};
  Instant order_since_{};  ///< leader and standby have been the same since
  /// The leader key's index when its site fell silent: a later renewal shows that it lives.
  std::optional<std::pair<std::string, std::int64_t>> noted_;
  bool noting_ = false;
  bool acting_ = false;
  bool refreshing_ = false;
  bool stopping_ = false;
  Waiter wakeup_;
  Counter& releases_;
  Counter& vetoes_;
  Counter& standbys_;
  Scope scope_;
};

}  // namespace haechi::cluster
