#pragma once
// What would a single site's loss take away? Everything that the platform needs to run,
// to switch over, to operate and to tell the public, and in how many sites each is. Pure:
// the command gathers what is known, this judges it.

#include <optional>
#include <string>
#include <vector>

#include "app/config.hpp"
#include "base/clock.hpp"
#include "base/json.hpp"
#include "cluster/survey.hpp"

namespace haechi::app {

enum class Holds {
  Yes,      ///< a single site's loss does not take it away
  No,       ///< it does
  Unknown,  ///< cannot be seen from here: to be looked at by hand
};

struct AuditItem {
  std::string name;                ///< "database"
  std::vector<std::string> sites;  ///< that have it
  std::size_t needed = 2;          ///< so many must have it
  Holds holds = Holds::Unknown;
  std::string says;  ///< one line: how it stands, or what would be lost
};

/// What could be learnt of backups.
struct BackupFacts {
  bool seen = false;                ///< else `why`
  std::string why;                  ///< where to look instead
  std::vector<std::string> places;  ///< independent of each other: hosts, buckets
  std::optional<WallMs> newest_ms;
};

struct AuditFacts {
  const Config& config;
  const cluster::Survey& survey;
  BackupFacts backups;
  /// What the host of public_base_url resolves to; empty where there is none.
  std::vector<std::string> public_addresses;
  WallMs now_ms = 0;
};

/// Of several sites.
std::vector<AuditItem> audit(const AuditFacts& facts);
/// Of one machine, which holds everything.
std::vector<AuditItem> audit_one_machine(const Config& config, const BackupFacts& backups, WallMs now_ms);

bool all_hold(const std::vector<AuditItem>& items);
std::string audit_table(const std::vector<AuditItem>& items);
json::object audit_json(const std::vector<AuditItem>& items);

}  // namespace haechi::app
