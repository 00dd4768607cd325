#pragma once
// What commands that look at the platform from outside have: a loop, and the members' addresses.

#include <memory>
#include <optional>
#include <string>

#include "app/config.hpp"
#include "cluster/asker.hpp"
#include "cluster/dcs.hpp"
#include "net/server.hpp"

namespace haechi::app {

class Desk {
 public:
  explicit Desk(Config config) : config_(std::move(config)), dcs_(asker_, config_.sites, "haechi") {}
  ~Desk() { asker_.stop(); }

  /// Turns the loop until the task has ended.
  template <class T>
  T run(Task<T> task) {
    std::optional<T> out;
    Scope scope;
    scope.spawn(keep(std::move(task), out, loop_));
    loop_.run();
    return *std::move(out);
  }

  const Config& config() const { return config_; }
  net::AsioLoop& loop() { return loop_; }
  cluster::Dcs& dcs() { return dcs_; }
  WallMs now_ms() const { return clock_.wall_ms(); }

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& out, net::AsioLoop& loop) {
    out.emplace(co_await std::move(task));
    loop.stop();
  }

  Config config_;
  SystemClock clock_;
  net::AsioLoop loop_{clock_};
  cluster::HttpAsker asker_{loop_, config_.tls.extra_ca};
  cluster::Dcs dcs_;
};

}  // namespace haechi::app
