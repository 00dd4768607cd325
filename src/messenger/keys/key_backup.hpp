#pragma once
// Server-side key backups.
// https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups

#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "journal/journal.hpp"
#include "messenger/keys/repo.hpp"

namespace haechi::messenger {

/// Whether a newly given session takes the place of the stored one: verified before
/// unverified, then the lower first_message_index, then the lower forwarded_count.
bool replaces(const repo::BackupSessionRow& fresh, const repo::BackupSessionRow& stored);

/// Sessions of one room or of many, as a request carries them.
Result<repo::BackupSessionRow> backup_session_of(std::string room_id, std::string session_id, const json::value& v);

struct BackupScope {
  std::string room_id;     ///< empty: all rooms
  std::string session_id;  ///< empty: all sessions
};
struct BackupCounters {
  std::int64_t count = 0;
  std::int64_t etag = 0;
};

/// Loop thread only. Versions are the client's text: what is no number of ours is Errc::NotFound.
class KeyBackup {
 public:
  KeyBackup(store::Readers& readers, journal::Journal& journal) : readers_(readers), journal_(journal) {}

  Task<Result<std::int64_t>> create(std::string user, std::string algorithm, std::string auth_data);
  /// Nothing for `version`: the current one.
  Task<Result<repo::BackupVersionRow>> info(std::string user, std::optional<std::string> version);
  /// Errc::InvalidParam when the algorithm is not the version's.
  Task<Result<>> update(std::string user, std::string version, std::string algorithm, std::string auth_data);
  /// Deleting what was deleted before succeeds.
  Task<Result<>> remove(std::string user, std::string version);

  /// Errc::WrongRoomKeysVersion (detail current_version) unless `version` is the current one.
  Task<Result<BackupCounters>> put(std::string user, std::string version, std::vector<repo::BackupSessionRow> sessions);
  Task<Result<std::vector<repo::BackupSessionRow>>> get(std::string user, std::string version, BackupScope scope);
  Task<Result<BackupCounters>> erase(std::string user, std::string version, BackupScope scope);

 private:
  store::Readers& readers_;
  journal::Journal& journal_;
};

}  // namespace haechi::messenger
