#include "messenger/api/gate.hpp"

#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

/// What clients send is stored within other JSON (an event around its content, the
/// feed around account data, an event within another's unsigned) and must still be
/// readable there: kJsonDepthMax holds for the whole.
constexpr std::size_t kBodyDepthMax = kJsonDepthMax - 20;

bool too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      else if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kBodyDepthMax) return true;
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return false;
}

}  // namespace

Gate::Gate(identity::Sessions& sessions, journal::Journal& journal, const Clock& clock, const Limits& limits)
    : messages(clock, limits.message),
      joins(clock, limits.join),
      invites(clock, limits.invite),
      registrations(clock, limits.registration),
      media(clock, limits.media),
      sessions_(sessions),
      journal_(journal) {}

Task<Result<>> Gate::fresh(Patience patience) {
  constexpr auto kLittle = std::chrono::milliseconds(300);
  constexpr auto kMuch = std::chrono::seconds(10);
  if (!journal_.shared()) co_return Result<>{};
  // Said at once: clients do better at another site than waiting here.
  if (!journal_.cut_off() &&
      (co_await journal_.fresh(patience == Patience::Little ? Duration(kLittle) : kMuch) || !journal_.cut_off())) {
    co_return Result<>{};
  }
  co_return fail(haechi::Errc::Unavailable, "This node cannot reach the others", R"("retry_after_ms":1000)");
}

namespace {
Gate::Patience patience_of(const net::Request& req) {
  const bool reads = req.method == net::Method::Get || req.method == net::Method::Head;
  return reads ? Gate::Patience::Little : Gate::Patience::Much;
}
}  // namespace

std::string_view Gate::token_of(net::Request& req, std::string& storage) {
  const auto header = req.header("authorization");
  constexpr std::string_view kBearer = "bearer ";
  if (header.size() > kBearer.size() && iequals_ascii(header.substr(0, kBearer.size()), kBearer)) {
    return trim(header.substr(kBearer.size()));
  }
  if (req.query.find("access_token=") == std::string_view::npos) return {};
  storage = req.param("access_token").value_or("");
  return storage;
}

SessionPtr Gate::at_hand(net::Request& req, Memory memory) {
  if (journal_.shared() && (memory == Memory::Fresh || journal_.cut_off())) return nullptr;  // require() says more
  std::string storage;
  const auto token = token_of(req, storage);
  if (token.empty()) return nullptr;
  auto session = sessions_.try_authenticate_shared(token);
  if (!session || session->locked || session->suspended || session->guest) return nullptr;
  sessions_.seen(*session, req.peer);
  return session;
}

Task<Result<SessionPtr>> Gate::require(net::Request& req, Guests guests) {
  std::string storage;
  if (journal_.shared()) CO_TRY_DO(co_await fresh(patience_of(req)));
  CO_TRY(auto session, co_await sessions_.authenticate(std::string(token_of(req, storage))));
  CO_TRY_DO(identity::require_unlocked(*session));
  if (guests == Guests::Refused) CO_TRY_DO(identity::require_not_guest(*session));
  sessions_.seen(*session, req.peer);
  co_return session;
}

Task<Result<SessionPtr>> Gate::require_even_locked(net::Request& req) {
  std::string storage;
  if (journal_.shared()) CO_TRY_DO(co_await fresh(patience_of(req)));
  co_return co_await sessions_.authenticate(std::string(token_of(req, storage)));
}

Task<Result<SessionPtr>> Gate::optional(net::Request& req) {
  std::string storage;
  if (token_of(req, storage).empty()) co_return SessionPtr{};
  co_return co_await require(req, Guests::Allowed);
}

Task<Result<SessionPtr>> Gate::require_active(net::Request& req, Guests guests) {
  CO_TRY(auto session, co_await require(req, guests));
  if (session->suspended) co_return fail(Errc::UserSuspended, "This account is suspended");
  co_return session;
}

Task<Result<SessionPtr>> Gate::require_admin(net::Request& req) {
  CO_TRY(auto session, co_await require(req));
  if (!session->admin) co_return fail(Errc::Forbidden, "Only server administrators may do this");
  co_return session;
}

Result<json::object> read_body(const net::Request& req, EmptyBody empty) {
  if (req.body.empty() && empty == EmptyBody::IsObject) return json::object{};
  auto value = parse_json(req.body);
  if (!value) return fail(Errc::NotJson, "The request body is " + value.error().message);
  if (!value->is_object()) return fail(Errc::BadJson, "The request body must be a JSON object");
  if (too_deep(req.body)) return fail(Errc::BadJson, "The request body is nested too deeply");
  return std::move(value->get_object());
}

Result<std::string> need_string(const json::object& o, std::string_view key) {
  const auto* v = get(o, key);
  if (!v) return fail(Errc::MissingParam, "Missing: " + std::string(key));
  if (!v->is_string()) return fail(Errc::BadJson, std::string(key) + " must be a string");
  return std::string(sv(v->get_string()));
}

net::Response reply(const json::object& o, int status) { return {.status = status, .body = json::serialize(o)}; }

}  // namespace haechi::messenger
