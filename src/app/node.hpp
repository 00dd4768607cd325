#pragma once
// One running node: every module, in the order in which they need each other.

#include <memory>

#include "app/config.hpp"
#include "base/result.hpp"

namespace haechi::app {

class Node {
 public:
  /// Opens the store, brings its schema up to date, wires the modules, listens.
  static Result<std::unique_ptr<Node>> create(const Config& config);
  ~Node();
  /// Serves until SIGTERM or SIGINT, then drains: no new connections, running
  /// requests end, the store is closed.
  int run();

 private:
  struct Parts;
  explicit Node(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace haechi::app
