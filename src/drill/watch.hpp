#pragma once
// How the cluster is, as an operator would find out: by asking Patroni, etcd and the nodes.

#include <string>
#include <vector>

#include "drill/sites.hpp"

namespace haechi::drill {

/// Who is who, as the primary's Patroni says; -1: nobody.
struct Roles {
  int primary = -1;
  int standby = -1;  ///< the one that every commit waits for
  int third = -1;

  bool complete() const { return primary >= 0 && standby >= 0 && third >= 0; }
  int of(std::string_view role) const { return role == "primary" ? primary : role == "standby" ? standby : third; }
  std::string_view role_of(int site) const {
    return site == primary ? "primary" : site == standby ? "standby" : "third";
  }
};

/// What Patroni's /cluster says of its members.
Roles parse_cluster(std::string_view text);
/// From a primary's GET /patroni: how many standbys stream, and whether one is synchronous.
struct Replication {
  int streaming = 0;
  bool synchronous = false;
};
Replication parse_replication(std::string_view text);

/// Asks the sites one after the other until one answers; `but` are not asked.
Roles ask_roles(const Sites& sites, std::span<const int> but = {},
                std::chrono::milliseconds patience = std::chrono::milliseconds(700));

/// What is not whole; nothing: all is.
struct Health {
  std::vector<int> etcds;  ///< sites whose etcd is not well
  bool primary = true;
  int standbys_missing = 0;
  bool synchronous = true;
  struct Node {
    int site, number;  ///< number from 0
  };
  std::vector<Node> nodes;
  bool whole() const { return etcds.empty() && primary && standbys_missing == 0 && synchronous && nodes.empty(); }
  /// "a primary, 4 of 6 nodes".
  std::string lacking() const;
};

enum class Nodes { Included, LeftOut };
Health ask_health(const Sites& sites, Nodes nodes);

/// Makes a site that lost its disk a member of etcd again, as deploy/README.md says: the old member
/// goes, a new one comes. Its etcd must start with "existing" afterwards.
Result<> replace_etcd_member(const Sites& sites, int lost);

}  // namespace haechi::drill
