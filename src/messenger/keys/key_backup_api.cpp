#include "messenger/keys/api.hpp"

#include "base/text.hpp"
#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

Result<std::string> version_param(const net::Request& req) {
  auto version = req.param("version");
  if (!version) return fail(Errc::MissingParam, "Missing: version");
  return *std::move(version);
}

/// algorithm and auth_data of a version's body.
struct VersionBody {
  std::string algorithm;
  std::string auth_data;
};
Result<VersionBody> version_body(const json::object& body) {
  TRY(auto algorithm, need_string(body, "algorithm"));
  const auto* data = get(body, "auth_data");
  if (!data) return fail(Errc::MissingParam, "Missing: auth_data");
  if (!data->is_object()) return fail(Errc::BadJson, "auth_data must be an object");
  return VersionBody{std::move(algorithm), to_text(*data)};
}

Result<> add_sessions(std::vector<repo::BackupSessionRow>& out, const std::string& room_id, const json::object& room) {
  const auto* sessions = get(room, "sessions");
  if (!sessions) return fail(Errc::MissingParam, "Missing: sessions");
  if (!sessions->is_object()) return fail(Errc::BadJson, "sessions must be an object");
  for (const auto& [session_id, v] : sessions->get_object()) {
    TRY(auto row, backup_session_of(room_id, session_id, v));
    out.push_back(std::move(row));
  }
  return {};
}

/// The body of a PUT is a session, a room of sessions, or rooms of them.
Result<std::vector<repo::BackupSessionRow>> sessions_of(const json::object& body, const BackupScope& scope) {
  std::vector<repo::BackupSessionRow> out;
  if (!scope.session_id.empty()) {
    TRY(auto row, backup_session_of(scope.room_id, scope.session_id, body));
    out.push_back(std::move(row));
  } else if (!scope.room_id.empty()) {
    TRY_DO(add_sessions(out, scope.room_id, body));
  } else {
    const auto* rooms = get(body, "rooms");
    if (!rooms) return fail(Errc::MissingParam, "Missing: rooms");
    if (!rooms->is_object()) return fail(Errc::BadJson, "rooms must be an object");
    for (const auto& [room_id, room] : rooms->get_object()) {
      if (!room.is_object()) return fail(Errc::BadJson, "A room must be an object");
      TRY_DO(add_sessions(out, room_id, room.get_object()));
    }
  }
  return out;
}

void append_session(std::string& out, const repo::BackupSessionRow& s) {
  out += "{\"first_message_index\":" + std::to_string(s.first_message_index);
  out += ",\"forwarded_count\":" + std::to_string(s.forwarded_count);
  out += s.is_verified ? ",\"is_verified\":true" : ",\"is_verified\":false";
  out += ",\"session_data\":" + s.session_data + '}';
}

void append_named(std::string& out, const repo::BackupSessionRow& s) {
  if (out.back() != '{') out += ',';
  append_json_string(out, s.session_id);
  out += ':';
  append_session(out, s);
}

/// {"rooms":{…}}; the rows come room by room.
std::string rooms_text(const std::vector<repo::BackupSessionRow>& rows) {
  std::string out = "{\"rooms\":{";
  const std::string* room = nullptr;
  for (const auto& row : rows) {
    if (!room || *room != row.room_id) {
      if (room) out += "}},";
      room = &row.room_id;
      append_json_string(out, row.room_id);
      out += ":{\"sessions\":{";
    }
    append_named(out, row);
  }
  if (room) out += "}}";
  out += "}}";
  return out;
}

net::Response counters(const BackupCounters& c) {
  return reply({{"etag", std::to_string(c.etag)}, {"count", c.count}});
}

}  // namespace

void KeyBackupApi::routes(net::Router& router) {
  using enum net::Method;
  const std::string version = "/_matrix/client/v3/room_keys/version";
  router.add(Post, version, [this](net::Request& req) { return create(req); });
  router.add(Get, version, [this](net::Request& req) { return info(req, std::nullopt); });
  router.on<std::string>(Get, version + "/{version}",
                         [this](net::Request& req, std::string v) { return info(req, std::move(v)); });
  router.on<std::string>(Put, version + "/{version}",
                         [this](net::Request& req, std::string v) { return update(req, std::move(v)); });
  router.on<std::string>(Delete, version + "/{version}",
                         [this](net::Request& req, std::string v) { return remove(req, std::move(v)); });

  const auto all_scopes = [&](net::Method method, Reply (KeyBackupApi::*handler)(net::Request&, BackupScope)) {
    const std::string keys = "/_matrix/client/v3/room_keys/keys";
    router.add(method, keys, [this, handler](net::Request& req) { return (this->*handler)(req, {}); });
    router.on<std::string>(method, keys + "/{roomId}", [this, handler](net::Request& req, std::string room) {
      return (this->*handler)(req, {.room_id = std::move(room), .session_id = {}});
    });
    router.on<std::string, std::string>(method, keys + "/{roomId}/{sessionId}",
                                        [this, handler](net::Request& req, std::string room, std::string session) {
                                          return (this->*handler)(
                                              req, {.room_id = std::move(room), .session_id = std::move(session)});
                                        });
  };
  all_scopes(Put, &KeyBackupApi::put);
  all_scopes(Get, &KeyBackupApi::get);
  all_scopes(Delete, &KeyBackupApi::erase);
}

KeyBackupApi::Reply KeyBackupApi::create(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(const auto body, read_body(req));
  CO_TRY(auto given, version_body(body));
  CO_TRY(const auto version,
         co_await backup_.create(session->user_id, std::move(given.algorithm), std::move(given.auth_data)));
  co_return reply({{"version", std::to_string(version)}});
}

KeyBackupApi::Reply KeyBackupApi::info(net::Request& req, std::optional<std::string> version) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(const auto row, co_await backup_.info(session->user_id, std::move(version)));
  std::string out = "{\"algorithm\":";
  append_json_string(out, row.algorithm);
  out += ",\"auth_data\":" + row.auth_data + ",\"count\":" + std::to_string(row.count);
  out += ",\"etag\":\"" + std::to_string(row.etag) + "\",\"version\":\"" + std::to_string(row.version) + "\"}";
  co_return reply_text(std::move(out));
}

KeyBackupApi::Reply KeyBackupApi::update(net::Request& req, std::string version) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(const auto body, read_body(req));
  CO_TRY(auto given, version_body(body));
  if (const auto* named = haechi::get(body, "version")) {
    if (!named->is_string()) co_return fail(Errc::BadJson, "version must be a string");
    if (sv(named->get_string()) != version) co_return fail(Errc::InvalidParam, "The versions of path and body differ");
  }
  CO_TRY_DO(co_await backup_.update(session->user_id, std::move(version), std::move(given.algorithm),
                                    std::move(given.auth_data)));
  co_return net::Response::empty_object();
}

KeyBackupApi::Reply KeyBackupApi::remove(net::Request& req, std::string version) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY_DO(co_await backup_.remove(session->user_id, std::move(version)));
  co_return net::Response::empty_object();
}

KeyBackupApi::Reply KeyBackupApi::put(net::Request& req, BackupScope scope) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(auto version, version_param(req));
  CO_TRY(const auto body, read_body(req));
  CO_TRY(auto sessions, sessions_of(body, scope));
  CO_TRY(const auto result, co_await backup_.put(session->user_id, std::move(version), std::move(sessions)));
  co_return counters(result);
}

KeyBackupApi::Reply KeyBackupApi::get(net::Request& req, BackupScope scope) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(auto version, version_param(req));
  CO_TRY(const auto rows, co_await backup_.get(session->user_id, std::move(version), scope));
  if (scope.room_id.empty()) co_return reply_text(rooms_text(rows));
  std::string out;
  if (!scope.session_id.empty()) {
    if (rows.empty()) co_return fail(Errc::NotFound, "There is no such session in this backup");
    append_session(out, rows.front());
  } else {
    out = "{\"sessions\":{";
    for (const auto& row : rows) append_named(out, row);
    out += "}}";
  }
  co_return reply_text(std::move(out));
}

KeyBackupApi::Reply KeyBackupApi::erase(net::Request& req, BackupScope scope) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(auto version, version_param(req));
  CO_TRY(const auto result, co_await backup_.erase(session->user_id, std::move(version), std::move(scope)));
  co_return counters(result);
}

}  // namespace haechi::messenger
