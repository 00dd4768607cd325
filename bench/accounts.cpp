// Accounts for a run: read from a token file, logged in, or registered.
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "bench/matrix.hpp"

namespace haechi::bench {
namespace {

constexpr std::string_view kPassword = "bench-Passw0rd-not-secret";

/// What one registration or log-in is doing.
struct Attempt {
  std::string name;
  std::string password;
  std::string auth;  ///< of the next request: a UIA session or a registration nonce
};

std::string hmac_sha1(std::string_view key, std::string_view data) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned size = 0;
  ::HMAC(EVP_sha1(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(data.data()),
         data.size(), mac.data(), &size);
  std::string out;
  for (unsigned i = 0; i < size; ++i) out += fmt::format("{:02x}", mac[i]);
  return out;
}

std::string login_request(const Context& context, const Attempt& a) {
  return request(
      context.server, "POST", "/_matrix/client/v3/login", {},
      fmt::format(R"({{"type":"m.login.password","identifier":{{"type":"m.id.user","user":"{}"}},"password":"{}"}})",
                  a.name, a.password));
}

std::string register_request(const Context& context, const Attempt& a) {
  const auto session = a.auth.empty() ? std::string() : fmt::format(R"(,"session":"{}")", a.auth);
  return request(context.server, "POST", "/_matrix/client/v3/register", {},
                 fmt::format(R"({{"username":"{}","password":"{}","auth":{{"type":"m.login.dummy"{}}}}})", a.name,
                             a.password, session));
}

/// The registration by shared secret that Synapse has and others took over.
std::string secret_request(const Context& context, const Attempt& a) {
  constexpr std::string_view kPath = "/_synapse/admin/v1/register";
  if (a.auth.empty()) return request(context.server, "GET", kPath, {});
  std::string signed_text = a.auth;
  for (const std::string_view part :
       {std::string_view(a.name), std::string_view(a.password), std::string_view("notadmin")}) {
    signed_text += '\0';
    signed_text += part;
  }
  return request(context.server, "POST", kPath, {},
                 fmt::format(R"({{"nonce":"{}","username":"{}","password":"{}","admin":false,"mac":"{}"}})", a.auth,
                             a.name, a.password, hmac_sha1(context.options.shared_secret, signed_text)));
}

std::vector<User> obtain(Context& context, std::vector<Attempt> attempts, bool log_in) {
  std::vector<User> out(attempts.size());
  const bool by_secret = !log_in && !context.options.shared_secret.empty();
  run_batch(
      context, log_in ? "log-ins" : "registrations", attempts.size(),
      [&](std::size_t i) {
        const auto& a = attempts[i];
        return log_in      ? login_request(context, a)
               : by_secret ? secret_request(context, a)
                           : register_request(context, a);
      },
      [&](std::size_t i, const Response& response) {
        const auto token = find_string(response.body, "access_token");
        const auto id = find_string(response.body, "user_id");
        if (response.status == 200 && token && id) {
          out[i] = {std::string(*id), std::string(*token)};
          return true;
        }
        const auto more = find_string(response.body, by_secret ? "nonce" : "session");
        const bool expected = by_secret ? response.status == 200 : response.status == 401;
        if (!expected || !more || !attempts[i].auth.empty()) {
          throw std::runtime_error(fmt::format("{} answered {}: {}", log_in ? "log-in" : "registration",
                                               response.status, response.body.substr(0, 300)));
        }
        attempts[i].auth = *more;
        return false;
      });
  return out;
}

std::vector<User> register_new(Context& context, std::size_t count) {
  std::vector<Attempt> attempts(count);
  for (auto& a : attempts) a = {fmt::format("hb{}u{}", context.run, context.names++), std::string(kPassword), {}};
  return obtain(context, std::move(attempts), false);
}

std::vector<User> cached(const Context& context) {
  std::vector<User> out;
  std::ifstream in(context.options.tokens_file);
  for (std::string server, id, token; in >> server >> id >> token;) {
    if (server == context.options.server) out.push_back({id, token});
  }
  return out;
}

std::vector<Attempt> named_accounts(const Options& options) {
  std::vector<Attempt> out;
  if (!options.user.empty()) out.push_back({options.user, options.password, {}});
  if (!options.users_file.empty()) {
    std::ifstream in(options.users_file);
    if (!in) throw std::runtime_error(options.users_file + ": cannot be read");
    for (std::string name, password; in >> name >> password;) out.push_back({name, password, {}});
  }
  return out;
}

/// Whether the first cached account is still good; a fresh server knows none of them.
bool still_valid(Context& context, const User& user) {
  bool valid = false;
  run_batch(
      context, "cached tokens", 1,
      [&](std::size_t) { return request(context.server, "GET", "/_matrix/client/v3/account/whoami", user.token); },
      [&](std::size_t, const Response& response) {
        valid = response.status == 200;
        return true;
      });
  return valid;
}

}  // namespace

std::span<const User> users(Context& context, std::size_t count) {
  auto& pool = context.pool;
  if (pool.empty()) {
    if (!context.options.tokens_file.empty()) {
      pool = cached(context);
      if (!pool.empty() && !still_valid(context, pool.front())) pool.clear();
    }
    if (pool.empty()) pool = obtain(context, named_accounts(context.options), true);
  }
  if (pool.size() < count) {
    // The pool may move when it grows: callers ask for all they need in one call.
    auto more = register_new(context, count - pool.size());
    if (!context.options.tokens_file.empty()) {
      std::ofstream out(context.options.tokens_file, std::ios::app);
      for (const auto& u : more) out << context.options.server << ' ' << u.id << ' ' << u.token << '\n';
    }
    pool.insert(pool.end(), more.begin(), more.end());
  }
  return std::span<const User>(pool).first(count);
}

std::vector<User> fresh_users(Context& context, std::size_t count) { return register_new(context, count); }

}  // namespace haechi::bench
