#pragma once
// Conducts a drill on a cluster that it brings up. One thread, the process's first,
// which also stands in the clients' network; see drill.hpp for the way in.

#include <memory>
#include <string>
#include <vector>

#include "drill/drill.hpp"
#include "drill/ground.hpp"
#include "drill/sites.hpp"
#include "drill/watch.hpp"

namespace haechi::drill {

class Orchestrator {
 public:
  Orchestrator(const Options& options, Standing standing, DrillFolder folder);
  ~Orchestrator();

  /// Networks, sites and nodes, until all is whole.
  Result<> bring_up();
  /// Prints where everything is and waits for Ctrl-C.
  void stay();
  /// The load's accounts and rooms.
  Result<> prepare_load();
  Result<RunRecord> run(int number, const Strike& strike);
  Abilities abilities() const;
  std::string ground_text() const;

 private:
  // What each fault does, and how it ends.
  Result<> begin(const Strike& strike, int hit);
  Result<> end(const Strike& strike, int hit);
  Result<> lose_second(const Strike& strike, int first);
  Result<> bring_back(int site, bool wiped);
  Result<> set_links(int site, const Wire::State& state, CutFrom whom);
  Result<> reset_links();
  Result<> sites_command(const char* verb, int site);

  Result<Roles> wait_for_roles();
  Result<> wait_until_whole(Nodes nodes, double deadline_s);
  Nodes nodes() const { return options_.database_only ? Nodes::LeftOut : Nodes::Included; }
  Result<> hold(double seconds);
  void explain(const Health& health) const;

  Event note(Event::Kind kind, std::string text);
  void say(const std::string& text) const;
  void pulse();
  /// Notes it when another site has become the primary.
  void note_primary();

  const Options options_;
  const Standing standing_;
  DrillFolder folder_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Sites> sites_;
  std::unique_ptr<Load> load_;
  const Nanos began_ = now_ns();
  std::vector<Event> events_;
  std::vector<std::string> broken_;
  std::vector<int> lost_;
  int second_ = -1;  ///< double: who was lost second
  int primary_ = -1;
  Nanos next_pulse_ = 0, next_look_ = 0;
};

}  // namespace haechi::drill
