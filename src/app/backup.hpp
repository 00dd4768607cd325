#pragma once
// Backups of one machine's data folder: the database as one committed state, and the media.
//
//   TARGET/media/ab/<sha256>     what all backups share: a content is copied once
//   TARGET/<id>/haechi.db        id: the time of it, 20261122T221500Z
//   TARGET/<id>/media.txt        "<sha256> <bytes>", one a line
//   TARGET/<id>/manifest.json    checksums of the two, and what they are of
//
// A backup has its name only once all of it is synced.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace haechi::app {

struct Backup {
  std::string id;
  std::string server_name;
  std::string version;  ///< of the program that made it
  WallMs created_ms = 0;
  std::uint64_t database_bytes = 0;
  std::uint64_t media = 0;
  std::uint64_t media_bytes = 0;
  std::uint64_t missing = 0;  ///< media that the disk had lost before
};

/// Hears what is being done, and how far it is.
using BackupProgress = std::function<void(std::string_view what, std::uint64_t done, std::uint64_t all)>;

/// All blocking, for the command line. Errors say in one line what is wrong.
namespace backup {

/// Beside a running node or without one.
Result<Backup> create(const std::string& data, const std::string& target, const BackupProgress& progress);
/// The oldest first.
Result<std::vector<Backup>> list(const std::string& target);
/// Reads all of it and compares checksums. `id` empty: the newest.
Result<Backup> verify(const std::string& target, const std::string& id, const BackupProgress& progress);
/// Into a folder that is empty or not there; checked while it is copied. On failure the folder is
/// left as it was.
Result<Backup> restore(const std::string& target, const std::string& id, const std::string& data,
                       const BackupProgress& progress);

}  // namespace backup
}  // namespace haechi::app
