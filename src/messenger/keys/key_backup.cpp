#include "messenger/keys/key_backup.hpp"

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/kinds.hpp"

namespace haechi::messenger {
namespace {

/// Versions are numbers from 1; other text names none.
std::int64_t number_of(std::string_view version) { return parse_int(version).value_or(0); }

std::unexpected<Error> no_such_version() { return fail(Errc::NotFound, "There is no such backup version"); }

Result<repo::BackupVersionRow> alive(store::Connection& c, std::string_view user, std::int64_t version) {
  auto row = repo::backup_version(c, user, version);
  if (!row || row->deleted) return no_such_version();
  return *std::move(row);
}

}  // namespace

// https://spec.matrix.org/v1.19/client-server-api/#backup-algorithm-mmegolm_backupv1curve25519-aes-sha2
// "if the keys have different values for is_verified, then it will keep the key that has is_verified set to
// true; if they have the same values for is_verified, then it will keep the key with a lower
// first_message_index; and finally, is is_verified and first_message_index are equal, then it will keep the
// key with a lower forwarded_count."
bool replaces(const repo::BackupSessionRow& fresh, const repo::BackupSessionRow& stored) {
  if (fresh.is_verified != stored.is_verified) return fresh.is_verified;
  if (fresh.first_message_index != stored.first_message_index) {
    return fresh.first_message_index < stored.first_message_index;
  }
  return fresh.forwarded_count < stored.forwarded_count;
}

Result<repo::BackupSessionRow> backup_session_of(std::string room_id, std::string session_id, const json::value& v) {
  if (!v.is_object()) return fail(Errc::BadJson, "A session must be an object");
  if (room_id.empty() || session_id.empty()) return fail(Errc::InvalidParam, "Rooms and sessions have names");
  const auto& o = v.get_object();
  for (const std::string_view key : {"first_message_index", "forwarded_count", "is_verified", "session_data"}) {
    if (!haechi::get(o, key)) return fail(Errc::MissingParam, "Missing: " + std::string(key));
  }
  const auto first = get_int(o, "first_message_index");
  const auto forwarded = get_int(o, "forwarded_count");
  const auto verified = get_bool(o, "is_verified");
  const auto* data = get_object(o, "session_data");
  if (!first || !forwarded || !verified || !data || *first < 0 || *forwarded < 0) {
    return fail(Errc::BadJson, "A session has members of wrong types");
  }
  return repo::BackupSessionRow{.room_id = std::move(room_id),
                                .session_id = std::move(session_id),
                                .first_message_index = *first,
                                .forwarded_count = *forwarded,
                                .is_verified = *verified,
                                .session_data = to_text(*data)};
}

Task<Result<std::int64_t>> KeyBackup::create(std::string user, std::string algorithm, std::string auth_data) {
  co_return co_await journal_.submit([=](journal::Tx& tx) -> Result<std::int64_t> {
    const auto version = repo::last_backup_version(tx.sql(), user) + 1;
    repo::add_backup_version(tx.sql(), user, version, algorithm, auth_data);
    tx.append(kind::kKeyBackup, user, "{}");
    return version;
  });
}

Task<Result<repo::BackupVersionRow>> KeyBackup::info(std::string user, std::optional<std::string> version) {
  co_return co_await readers_.read([&](store::Connection& c) -> Result<repo::BackupVersionRow> {
    if (version) return alive(c, user, number_of(*version));
    auto row = repo::current_backup(c, user);
    if (!row) return fail(Errc::NotFound, "There is no backup");
    return *std::move(row);
  });
}

Task<Result<>> KeyBackup::update(std::string user, std::string version, std::string algorithm, std::string auth_data) {
  co_return co_await journal_.submit([=](journal::Tx& tx) -> Result<> {
    TRY(const auto row, alive(tx.sql(), user, number_of(version)));
    if (row.algorithm != algorithm) return fail(Errc::InvalidParam, "The algorithm of a version cannot change");
    repo::set_backup_auth_data(tx.sql(), user, row.version, auth_data);
    tx.append(kind::kKeyBackup, user, "{}");
    return {};
  });
}

Task<Result<>> KeyBackup::remove(std::string user, std::string version) {
  co_return co_await journal_.submit([=](journal::Tx& tx) -> Result<> {
    const auto row = repo::backup_version(tx.sql(), user, number_of(version));
    if (!row) return no_such_version();
    if (row->deleted) return {};
    repo::delete_backup_version(tx.sql(), user, row->version);
    tx.append(kind::kKeyBackup, user, "{}");
    return {};
  });
}

// No memory holds a backup's sessions and sync does not tell of them: they need no feed entry.
Task<Result<BackupCounters>> KeyBackup::put(std::string user, std::string version,
                                            std::vector<repo::BackupSessionRow> sessions) {
  auto apply = [user, version, sessions = std::move(sessions)](journal::Tx& tx) -> Result<BackupCounters> {
    auto& sql = tx.sql();
    auto current = repo::current_backup(sql, user);
    if (!current) return no_such_version();
    if (current->version != number_of(version)) {
      TRY_DO(alive(sql, user, number_of(version)));
      return fail(Errc::WrongRoomKeysVersion, "This is not the current backup version",
                  "\"current_version\":\"" + std::to_string(current->version) + '"');
    }
    bool changed = false;
    for (const auto& fresh : sessions) {
      const auto stored = repo::backup_sessions(sql, user, current->version, fresh.room_id, fresh.session_id);
      if (!stored.empty() && !replaces(fresh, stored.front())) continue;
      repo::put_backup_session(sql, user, current->version, fresh);
      if (stored.empty()) ++current->count;
      changed = true;
    }
    if (changed) {
      ++current->etag;
      repo::set_backup_counters(sql, user, *current);
    }
    return BackupCounters{.count = current->count, .etag = current->etag};
  };
  co_return co_await journal_.submit(std::move(apply), journal::Guard::Bare);
}

Task<Result<std::vector<repo::BackupSessionRow>>> KeyBackup::get(std::string user, std::string version,
                                                                 BackupScope scope) {
  co_return co_await readers_.read([&](store::Connection& c) -> Result<std::vector<repo::BackupSessionRow>> {
    TRY(const auto row, alive(c, user, number_of(version)));
    return repo::backup_sessions(c, user, row.version, scope.room_id, scope.session_id);
  });
}

Task<Result<BackupCounters>> KeyBackup::erase(std::string user, std::string version, BackupScope scope) {
  co_return co_await journal_.submit([=](journal::Tx& tx) -> Result<BackupCounters> {
    TRY(auto row, alive(tx.sql(), user, number_of(version)));
    const auto gone = repo::delete_backup_sessions(tx.sql(), user, row.version, scope.room_id, scope.session_id);
    if (gone > 0) {
      ++row.etag;
      row.count -= gone;
      repo::set_backup_counters(tx.sql(), user, row);
    }
    return BackupCounters{.count = row.count, .etag = row.etag};
  });
}

}  // namespace haechi::messenger
