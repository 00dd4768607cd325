#pragma once
// The one place where a request becomes somebody. Every route says here what it
// needs; nothing behind it asks again who is calling.

#include <memory>
#include <optional>
#include <string>

#include "base/json.hpp"
#include "identity/rate_limiter.hpp"
#include "identity/sessions.hpp"
#include "journal/journal.hpp"
#include "net/http.hpp"

namespace haechi::messenger {

using SessionPtr = std::shared_ptr<const identity::Session>;

enum class Guests { Refused, Allowed };
/// Whether what other nodes have just committed must be in memory when the handler goes on.
enum class Memory { Fresh, MayLag };

/// Rates per user (per address before there is one). per_second 0: no limit.
struct Limits {
  identity::Rate message{0, 1};
  identity::Rate join{0, 1};
  identity::Rate invite{0, 1};
  identity::Rate registration{0, 1};
  identity::Rate media{0, 1};
};

class Gate {
 public:
  Gate(identity::Sessions& sessions, journal::Journal& journal, const Clock& clock, const Limits& limits);

  /// From `Authorization: Bearer` or, for old clients, `?access_token=`.
  /// identity::Errc::MissingToken, UnknownToken, Locked, GuestsForbidden.
  /// Whoever comes from another node finds here what they did there: see fresh().
  Task<Result<SessionPtr>> require(net::Request& req, Guests guests = Guests::Refused);
  /// As require(), guests included, but lets in the locked too: they may still log out.
  Task<Result<SessionPtr>> require_even_locked(net::Request& req);
  /// As require() without a wait, where the session is at hand; null otherwise: then ask require().
  SessionPtr at_hand(net::Request& req, Memory memory = Memory::Fresh);
  /// Where other nodes write too: follows what they have committed. While the database moves, what
  /// reads goes on with what is known after a moment, and what writes waits, since it has to anyway.
  /// Errc::Unavailable on a node that is cut off from the others: what it knows may be old.
  enum class Patience { Little, Much };
  Task<Result<>> fresh(Patience patience = Patience::Little);
  /// Null when the request carries no token.
  Task<Result<SessionPtr>> optional(net::Request& req);
  /// Also refuses who is suspended: for everything that others see.
  Task<Result<SessionPtr>> require_active(net::Request& req, Guests guests = Guests::Refused);
  Task<Result<SessionPtr>> require_admin(net::Request& req);

  identity::RateLimiter messages, joins, invites, registrations, media;

 private:
  static std::string_view token_of(net::Request& req, std::string& storage);
  identity::Sessions& sessions_;
  journal::Journal& journal_;
};

/// M_NOT_JSON or M_BAD_JSON; an empty body counts as {} where `empty_ok`.
enum class EmptyBody { Refused, IsObject };
Result<json::object> read_body(const net::Request& req, EmptyBody empty = EmptyBody::Refused);

/// A string member that must be there: M_MISSING_PARAM, M_BAD_JSON.
Result<std::string> need_string(const json::object& o, std::string_view key);

net::Response reply(const json::object& o, int status = 200);
inline net::Response reply_text(std::string body) { return net::Response::of_json(std::move(body)); }

/// "user|device": how events remember who sent them.
inline std::string device_key(const identity::Session& s) { return s.user_id + '|' + s.device_id; }

}  // namespace haechi::messenger
