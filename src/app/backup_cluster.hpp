#pragma once
// Backups of several sites' PostgreSQL: pgBackRest does them, to storage in other sites; these are
// its commands with the questions asked first that an operator would forget.

#include <string>
#include <vector>

#include "base/result.hpp"

namespace haechi::app {

struct ClusterBackupOptions {
  std::string program = "pgbackrest";
  std::string config = "/etc/pgbackrest/pgbackrest.conf";
  std::string stanza = "haechi";
};

struct ClusterBackup {
  std::int64_t repository = 1;
  std::string label;  ///< 20261122-221500F
  std::string type;   ///< full, diff, incr
  std::int64_t started_s = 0;
  std::int64_t stopped_s = 0;
  std::uint64_t database_bytes = 0;
  std::uint64_t repository_bytes = 0;  ///< that it added
  bool error = false;                  ///< pages did not match their checksums
};

struct ClusterInfo {
  std::vector<std::int64_t> repositories;
  std::vector<ClusterBackup> backups;  ///< of all of them, the oldest first
};

/// Blocking, for the command line, on a server of the cluster and as PostgreSQL's user. Errors are
/// one line; what pgBackRest itself says goes to standard error.
namespace cluster_backup {

/// Asks whether archiving works, then backs up to every repository. Errc::Unavailable when this is
/// not the primary's server.
Result<std::vector<ClusterBackup>> create(const ClusterBackupOptions& options, const std::string& type);
Result<ClusterInfo> info(const ClusterBackupOptions& options);
/// Of all repositories, the oldest first.
Result<std::vector<ClusterBackup>> list(const ClusterBackupOptions& options);
/// Reads every file of every repository and compares checksums.
Result<> verify(const ClusterBackupOptions& options);
/// What to run, in order, to have the database as it was at `time` ("" : all that there is).
Result<std::string> restore_steps(const ClusterBackupOptions& options, const std::string& time);

/// "2026-11-22 14:30:00" with an optional fraction and zone: for PostgreSQL, and for a shell.
bool is_point_in_time(std::string_view text);
/// Of `pgbackrest info --output=json`.
Result<ClusterInfo> parse_info(std::string_view text, std::string_view stanza);

}  // namespace cluster_backup
}  // namespace haechi::app
