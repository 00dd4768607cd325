#pragma once
// A site: one building, with its share of everything.

#include <string>
#include <vector>

namespace haechi::cluster {

struct Site {
  std::string name;                ///< a plain identifier
  std::vector<std::string> nodes;  ///< base URLs of its Haechi nodes
  std::string postgresql;          ///< "host:port"
  std::string patroni;             ///< base URL of its REST API
  std::string etcd;                ///< base URL of its client API
};

}  // namespace haechi::cluster
