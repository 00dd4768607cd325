#include "messenger/api/errors.hpp"

#include "base/json.hpp"
#include "base/text.hpp"
#include "blob/error.hpp"
#include "identity/error.hpp"
#include "journal/journal.hpp"
#include "messenger/errc.hpp"
#include "messenger/event/event_errc.hpp"
#include "net/router.hpp"

namespace haechi::messenger {
namespace {

struct Shown {
  int status;
  std::string_view errcode;
};

Shown of(Errc e) {
  switch (e) {
    case Errc::Ok: break;
    case Errc::Forbidden: return {403, "M_FORBIDDEN"};
    case Errc::NotFound: return {404, "M_NOT_FOUND"};
    case Errc::Unrecognized: return {404, "M_UNRECOGNIZED"};
    case Errc::BadJson: return {400, "M_BAD_JSON"};
    case Errc::NotJson: return {400, "M_NOT_JSON"};
    case Errc::InvalidParam: return {400, "M_INVALID_PARAM"};
    case Errc::MissingParam: return {400, "M_MISSING_PARAM"};
    case Errc::TooLarge: return {413, "M_TOO_LARGE"};
    case Errc::RoomInUse: return {400, "M_ROOM_IN_USE"};
    case Errc::InvalidRoomState: return {400, "M_INVALID_ROOM_STATE"};
    case Errc::UnsupportedRoomVersion: return {400, "M_UNSUPPORTED_ROOM_VERSION"};
    case Errc::IncompatibleRoomVersion: return {400, "M_INCOMPATIBLE_ROOM_VERSION"};
    case Errc::BadAlias: return {400, "M_BAD_ALIAS"};
    case Errc::BadState: return {400, "M_BAD_STATE"};
    case Errc::CannotLeaveServerNoticeRoom: return {403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"};
    case Errc::UnableToAuthoriseJoin: return {400, "M_UNABLE_TO_AUTHORISE_JOIN"};
    case Errc::UnableToGrantJoin: return {403, "M_UNABLE_TO_GRANT_JOIN"};
    case Errc::DuplicateAnnotation: return {400, "M_DUPLICATE_ANNOTATION"};
    case Errc::WrongRoomKeysVersion: return {403, "M_WRONG_ROOM_KEYS_VERSION"};
    case Errc::InvalidSignature: return {400, "M_INVALID_SIGNATURE"};
    case Errc::GuestAccessForbidden: return {403, "M_GUEST_ACCESS_FORBIDDEN"};
    case Errc::ThreepidDenied: return {403, "M_THREEPID_DENIED"};
    case Errc::ThreepidNotFound: return {400, "M_THREEPID_NOT_FOUND"};
    case Errc::UserSuspended: return {403, "M_USER_SUSPENDED"};
    case Errc::UnknownPos: return {400, "M_UNKNOWN_POS"};
    case Errc::KeyTooLarge: return {400, "M_KEY_TOO_LARGE"};
    case Errc::ProfileTooLarge: return {400, "M_PROFILE_TOO_LARGE"};
    case Errc::Unknown: return {400, "M_UNKNOWN"};
    case Errc::Unsupported: return {400, "M_UNRECOGNIZED"};
    case Errc::Upstream: return {502, "M_UNKNOWN"};
  }
  return {500, "M_UNKNOWN"};
}

Shown of(EventErrc e) {
  switch (e) {
    case EventErrc::Forbidden: return {403, "M_FORBIDDEN"};
    case EventErrc::BadJson: return {400, "M_BAD_JSON"};
    case EventErrc::TooLarge: return {413, "M_TOO_LARGE"};
    case EventErrc::Ok: break;
  }
  return {500, "M_UNKNOWN"};
}

Shown of(identity::Errc e) {
  using E = identity::Errc;
  switch (e) {
    case E::Ok: break;
    case E::UserInUse: return {400, "M_USER_IN_USE"};
    case E::InvalidUsername: return {400, "M_INVALID_USERNAME"};
    case E::Exclusive: return {400, "M_EXCLUSIVE"};
    case E::WeakPassword: return {400, "M_WEAK_PASSWORD"};
    case E::WrongCredentials: return {403, "M_FORBIDDEN"};
    case E::MissingToken: return {401, "M_MISSING_TOKEN"};
    case E::UnknownToken: return {401, "M_UNKNOWN_TOKEN"};
    case E::Deactivated: return {403, "M_USER_DEACTIVATED"};
    case E::Locked: return {401, "M_USER_LOCKED"};
    case E::Suspended: return {403, "M_USER_SUSPENDED"};
    case E::LimitExceeded: return {429, "M_LIMIT_EXCEEDED"};
    case E::NotFound: return {404, "M_NOT_FOUND"};
    case E::GuestsForbidden: return {403, "M_GUEST_ACCESS_FORBIDDEN"};
    case E::Forbidden: return {403, "M_FORBIDDEN"};
    case E::InvalidParam: return {400, "M_INVALID_PARAM"};
  }
  return {500, "M_UNKNOWN"};
}

Shown of(net::Errc e) {
  using E = net::Errc;
  switch (e) {
    case E::Ok: break;
    case E::UnknownPath: return {404, "M_UNRECOGNIZED"};
    case E::WrongMethod: return {405, "M_UNRECOGNIZED"};
    case E::HeaderTooLarge: return {431, "M_TOO_LARGE"};
    case E::BodyTooLarge: return {413, "M_TOO_LARGE"};
    case E::SlowClient: return {408, "M_UNKNOWN"};
    case E::BadRequest: return {400, "M_UNKNOWN"};
    case E::TooManyConnections: return {503, "M_LIMIT_EXCEEDED"};
    case E::Draining: return {503, "M_UNKNOWN"};
  }
  return {500, "M_UNKNOWN"};
}

Shown of(haechi::Errc e) {
  using E = haechi::Errc;
  switch (e) {
    case E::Invalid: return {400, "M_INVALID_PARAM"};
    case E::NotFound: return {404, "M_NOT_FOUND"};
    case E::Conflict: return {409, "M_UNKNOWN"};
    case E::Overloaded: return {429, "M_LIMIT_EXCEEDED"};
    case E::Timeout: return {504, "M_UNKNOWN"};
    case E::Cancelled: return {499, "M_UNKNOWN"};
    case E::Unavailable: return {503, "M_UNKNOWN"};
    case E::TooLarge: return {413, "M_TOO_LARGE"};
    case E::Io:
    case E::Broken:
    case E::Ok: break;
  }
  return {500, "M_UNKNOWN"};
}

Shown of(journal::Errc e) {
  switch (e) {
    case journal::Errc::Full: return {429, "M_LIMIT_EXCEEDED"};
    // Clients send again what a 5xx answers; the transaction id makes that harmless.
    case journal::Errc::Failed:
    case journal::Errc::Stale:
    case journal::Errc::Late:
    case journal::Errc::ShuttingDown: return {503, "M_UNKNOWN"};
    case journal::Errc::Ok: break;
  }
  return {500, "M_UNKNOWN"};
}

Shown shown(const Error& error) {
  const auto& category = error.code.category();
  const int v = error.code.value();
  if (category == messenger_category()) return of(static_cast<Errc>(v));
  if (category == event_category()) return of(static_cast<EventErrc>(v));
  if (category == identity::identity_category()) return of(static_cast<identity::Errc>(v));
  if (category == net::net_category()) return of(static_cast<net::Errc>(v));
  if (category == journal::journal_category()) return of(static_cast<journal::Errc>(v));
  if (category == blob::blob_category()) {
    using E = blob::Errc;
    switch (static_cast<E>(v)) {
      case E::NotFound: return {404, "M_NOT_FOUND"};
      case E::TooLarge: return {413, "M_TOO_LARGE"};
      case E::NotYetUploaded: return {504, "M_NOT_YET_UPLOADED"};
      case E::CannotOverwrite: return {409, "M_CANNOT_OVERWRITE_MEDIA"};
      case E::NotOwner: return {403, "M_FORBIDDEN"};
      case E::Busy: return {429, "M_LIMIT_EXCEEDED"};
      case E::Io: return {500, "M_UNKNOWN"};
      default: return {400, "M_UNKNOWN"};
    }
  }
  return of(static_cast<haechi::Errc>(v));
}

}  // namespace

net::Response render_matrix_error(const Error& error) {
  const auto s = shown(error);
  std::string body = "{\"errcode\":\"";
  body += s.errcode;
  body += "\",\"error\":";
  // What went wrong inside is for the log, not for whoever asked.
  append_json_string(body,
                     s.status == 500 ? std::string_view("Internal server error") : std::string_view(error.message));
  std::string detail = error.detail;
  if (s.status == 429 && detail.empty()) detail = "\"retry_after_ms\":1000";
  if (!detail.empty()) {
    body += ',';
    body += detail;
  }
  body += '}';
  net::Response r{.status = s.status, .body = std::move(body)};
  if (s.status == 429 || s.status == 503) {
    std::int64_t wait_ms = 1000;
    if (auto o = parse_json_object('{' + detail + '}')) wait_ms = get_int(*o, "retry_after_ms").value_or(1000);
    r.headers.emplace_back("Retry-After", std::to_string((wait_ms + 999) / 1000));
  }
  return r;
}

net::Response render_operator_error(const Error& error) {
  const int status = shown(error).status;
  json::object problem{{"type", "about:blank"}, {"status", status}, {"title", net::reason_phrase(status)}};
  problem["detail"] = status == 500 ? std::string_view("something went wrong inside") : std::string_view(error.message);
  return {.status = status, .content_type = "application/problem+json", .body = json::serialize(problem)};
}

}  // namespace haechi::messenger
