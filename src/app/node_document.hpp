#pragma once
// What a node says of itself to operators and to `haechi sites` and `haechi audit`,
// at GET /_haechi/v1/node. No secrets: of keys and settings only fingerprints, by
// which nodes can be compared.

#include <cstdint>
#include <string>

#include "app/config.hpp"
#include "base/loop.hpp"

namespace haechi::app {

/// How busy the process and its machine are, measured while it runs. Loop thread only.
class Vitals {
 public:
  explicit Vitals(Loop& loop) : loop_(loop) {}
  void start();
  void stop() { loop_.timers().disarm(timer_); }
  double loop_lag_ms() const { return lag_ms_; }         ///< the worst of the last seconds
  double process_cores() const { return process_; }      ///< CPU time used per second
  double machine_busy() const { return machine_busy_; }  ///< share of all cores, 0 to 1
  static unsigned cores();

 private:
  void tick();
  Loop& loop_;
  TimerQueue::Timer timer_;
  Instant due_{};
  Instant measured_{};
  double lag_ms_ = 0, worst_ms_ = 0, process_ = 0, machine_busy_ = 0;
  double cpu_s_ = 0;
  std::uint64_t busy_ = 0, total_ = 0;
  int ticks_ = 0;
};

struct NodeState {
  std::string id;  ///< random, new at each start
  std::uint16_t port = 0;
  bool ready = false;
  std::string why;         ///< not ready
  std::string site_state;  ///< "in service", ...
  std::int64_t position = 0;
  std::size_t connections = 0;
  std::size_t queued = 0;
  std::int64_t started_ms = 0;
  std::int64_t now_ms = 0;
};

std::string node_document(const Config& config, const NodeState& state, const Vitals& vitals);

/// Over every setting that all nodes must have in common.
std::string settings_fingerprint(const Config& config);
/// Of the vault's key; empty without one.
std::string vault_fingerprint(const Config& config);
/// Over the secrets that all nodes must have in common. Keyed by the vault's key; empty without one.
std::string secrets_fingerprint(const Config& config);

}  // namespace haechi::app
