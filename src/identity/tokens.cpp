#include "identity/tokens.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

#include <algorithm>
#include <stdexcept>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "identity/repo.hpp"

namespace haechi::identity {
namespace {

constexpr std::int64_t kOpenIdLifetimeS = 3600;
constexpr auto kNonceLifetime = std::chrono::seconds(60);

// https://spec.matrix.org/v1.19/client-server-api/#token-authenticated-registration:
// at most 64 characters of the unreserved set of RFC 3986.
bool is_valid_registration_token(std::string_view t) {
  return !t.empty() && t.size() <= 64 && std::ranges::all_of(t, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("._~-").contains(c);
  });
}

std::unexpected<Error> no_such_token() { return fail(Errc::NotFound, "There is no such registration token"); }

}  // namespace

RegistrationTokens::RegistrationTokens(Loop& loop, store::Readers& readers, journal::Journal& journal, Random& random)
    : loop_(loop), readers_(readers), journal_(journal), random_(random) {}

Task<Result<RegistrationToken>> RegistrationTokens::create(Create request) {
  RegistrationToken token;
  token.token = request.token ? *std::move(request.token) : random_.text(16);
  token.uses_allowed = request.uses_allowed;
  token.expires_ms = request.expires_ms;
  if (!is_valid_registration_token(token.token)) {
    co_return fail(Errc::InvalidParam, "a registration token has 1 to 64 characters of A-Z a-z 0-9 . _ ~ -");
  }
  if (token.uses_allowed.value_or(0) < 0) co_return fail(Errc::InvalidParam, "uses_allowed may not be negative");
  auto done = co_await journal_.submit([token](journal::Tx& tx) -> Result<> {
    if (repo::registration_token(tx.sql(), token.token)) {
      return fail(Errc::InvalidParam, "this registration token exists already");
    }
    repo::put_registration_token(tx.sql(), token, tx.wall_ms());
    return {};
  });
  CO_TRY_DO(std::move(done));
  co_return token;
}

Task<Result<RegistrationToken>> RegistrationTokens::update(std::string token, Change change) {
  if (change.uses_allowed && change.uses_allowed->value_or(0) < 0) {
    co_return fail(Errc::InvalidParam, "uses_allowed may not be negative");
  }
  auto done = co_await journal_.submit([token, change](journal::Tx& tx) -> Result<RegistrationToken> {
    auto known = repo::registration_token(tx.sql(), token);
    if (!known) return no_such_token();
    if (change.uses_allowed) known->uses_allowed = *change.uses_allowed;
    if (change.expires_ms) known->expires_ms = *change.expires_ms;
    repo::put_registration_token(tx.sql(), *known, tx.wall_ms());
    return *std::move(known);
  });
  CO_TRY(auto known, std::move(done));
  if (const auto p = pending_.find(token); p != pending_.end()) known.pending = p->second;
  co_return known;
}

Task<Result<RegistrationToken>> RegistrationTokens::find(std::string token) {
  auto read = co_await readers_.read([token](store::Connection& c) -> Result<std::optional<RegistrationToken>> {
    return repo::registration_token(c, token);
  });
  CO_TRY(auto known, std::move(read));
  if (!known) co_return no_such_token();
  if (const auto p = pending_.find(token); p != pending_.end()) known->pending = p->second;
  co_return *std::move(known);
}

Task<Result<std::vector<RegistrationToken>>> RegistrationTokens::list() {
  auto read = co_await readers_.read(
      [](store::Connection& c) -> Result<std::vector<RegistrationToken>> { return repo::registration_tokens(c); });
  CO_TRY(auto all, std::move(read));
  for (auto& t : all) {
    if (const auto p = pending_.find(t.token); p != pending_.end()) t.pending = p->second;
  }
  co_return all;
}

Task<Result<>> RegistrationTokens::remove(std::string token) {
  co_return co_await journal_.submit([token](journal::Tx& tx) -> Result<> {
    if (!repo::delete_registration_token(tx.sql(), token)) return no_such_token();
    return {};
  });
}

Task<Result<bool>> RegistrationTokens::valid(std::string token) {
  const auto known = co_await find(std::move(token));
  if (!known) {
    if (known.error().is(Errc::NotFound)) co_return false;
    co_return std::unexpected(known.error());
  }
  if (known->expires_ms && *known->expires_ms <= loop_.clock().wall_ms()) co_return false;
  co_return !known->uses_allowed || known->completed + known->pending < *known->uses_allowed;
}

void RegistrationTokens::release(const std::string& token) {
  const auto found = pending_.find(token);
  if (found != pending_.end() && --found->second <= 0) pending_.erase(found);
}

OpenIdTokens::OpenIdTokens(Loop& loop, store::Readers& readers, journal::Journal& journal, Random& random)
    : loop_(loop), readers_(readers), journal_(journal), random_(random) {}

Task<Result<OpenIdTokens::Issued>> OpenIdTokens::issue(std::string user_id) {
  Issued issued{.access_token = "hoi_" + random_.text(40), .expires_in_s = kOpenIdLifetimeS};
  auto done = co_await journal_.submit([user_id, hash = sha256(issued.access_token)](journal::Tx& tx) -> Result<> {
    repo::insert_openid_token(tx.sql(), hash, user_id, tx.wall_ms() + kOpenIdLifetimeS * 1000, tx.wall_ms());
    return {};
  });
  CO_TRY_DO(std::move(done));
  co_return issued;
}

Task<Result<std::string>> OpenIdTokens::verify(std::string token) {
  auto read = co_await readers_.read(
      [hash = sha256(token), now = loop_.clock().wall_ms()](
          store::Connection& c) -> Result<std::optional<std::string>> { return repo::openid_user(c, hash, now); });
  CO_TRY(auto user_id, std::move(read));
  if (!user_id) co_return fail(Errc::UnknownToken, "Access token unknown or expired");
  co_return *std::move(user_id);
}

std::string shared_secret_mac(std::string_view secret, std::string_view nonce, std::string_view user,
                              std::string_view password, bool admin, std::string_view user_type) {
  std::string text(nonce);
  text += '\0';
  text += user;
  text += '\0';
  text += password;
  text += '\0';
  text += admin ? "admin" : "notadmin";
  if (!user_type.empty()) {
    text += '\0';
    text += user_type;
  }
  std::uint8_t out[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (!HMAC(EVP_sha1(), secret.data(), static_cast<int>(secret.size()),
            reinterpret_cast<const unsigned char*>(text.data()), text.size(), out, &length)) {
    throw std::runtime_error("HMAC-SHA1 failed");
  }
  return hex_encode({out, length});
}

bool shared_secret_mac_matches(std::string_view mac, std::string_view expected) {
  const auto given = to_lower_ascii(mac);
  return given.size() == expected.size() && sodium_memcmp(given.data(), expected.data(), given.size()) == 0;
}

RegistrationNonces::RegistrationNonces(const Clock& clock, Random& random, std::size_t max)
    : clock_(clock), random_(random), max_(max) {}

std::string RegistrationNonces::issue() {
  const Instant now = clock_.now();
  std::erase_if(until_, [&](const auto& e) { return e.second <= now; });
  if (until_.size() >= max_) {
    until_.erase(std::ranges::min_element(until_, {}, [](const auto& e) { return e.second; }));
  }
  auto nonce = random_.text(48);
  until_.emplace(nonce, now + kNonceLifetime);
  return nonce;
}

bool RegistrationNonces::spend(const std::string& nonce) {
  const auto found = until_.find(nonce);
  if (found == until_.end()) return false;
  const bool good = found->second > clock_.now();
  until_.erase(found);
  return good;
}

}  // namespace haechi::identity
