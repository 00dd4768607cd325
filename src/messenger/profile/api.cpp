#include "messenger/profile/api.hpp"

#include <algorithm>

#include "messenger/errc.hpp"
#include "messenger/event/ids.hpp"
#include "messenger/profile/repo.hpp"

namespace haechi::messenger {
namespace {

constexpr std::int64_t kFoundDefault = 10;
constexpr std::int64_t kFoundMax = 100;

/// Clients of the first specifications remove a name by setting it to nothing.
bool means_removal(std::string_view key, const json::value& value) {
  if (key != kDisplayname && key != kAvatarUrl) return false;
  return value.is_null() || (value.is_string() && value.get_string().empty());
}

}  // namespace

void ProfileApi::routes(net::Router& router) {
  using net::Method;
  const std::string all = "/_matrix/client/v3/profile/{userId}";
  const std::string one = all + "/{keyName}";
  router.on<std::string>(Method::Get, all,
                         [this](net::Request& req, std::string user) { return whole(req, std::move(user)); });
  router.on<std::string, std::string>(Method::Get, one, [this](net::Request& req, std::string user, std::string key) {
    return field(req, std::move(user), std::move(key));
  });
  router.on<std::string, std::string>(Method::Put, one, [this](net::Request& req, std::string user, std::string key) {
    return put(req, std::move(user), std::move(key));
  });
  router.on<std::string, std::string>(Method::Delete, one,
                                      [this](net::Request& req, std::string user, std::string key) {
                                        return remove(req, std::move(user), std::move(key));
                                      });
  // Before v1.16 custom fields had a name of their own.
  router.alias("/_matrix/client/unstable/uk.tcpip.msc4133/profile", "/_matrix/client/v3/profile");
}

ProfileApi::Answer ProfileApi::whole(net::Request&, std::string user_id) {
  CO_TRY_DO(co_await gate_.fresh());
  CO_TRY(const auto fields, co_await profiles_.fields(std::move(user_id)));
  co_return reply(*fields);
}

ProfileApi::Answer ProfileApi::field(net::Request&, std::string user_id, std::string key) {
  CO_TRY_DO(co_await gate_.fresh());
  CO_TRY_DO(check_profile_key(key));
  CO_TRY(const auto fields, co_await profiles_.fields(std::move(user_id)));
  const auto* value = get(*fields, key);
  if (!value) co_return fail(Errc::NotFound, "The profile has no such field");
  json::object answer;
  answer[key] = *value;
  co_return reply(answer);
}

ProfileApi::Answer ProfileApi::put(net::Request& req, std::string user_id, std::string key) {
  CO_TRY(const auto session, co_await gate_.require_active(req, Guests::Allowed));
  if (user_id != session->user_id) co_return fail(Errc::Forbidden, "Nobody may change another user's profile");
  CO_TRY_DO(check_profile_key(key));
  CO_TRY(const auto body, read_body(req));
  const auto* value = get(body, key);
  if (!value) co_return fail(Errc::MissingParam, "Missing: " + key);
  if (means_removal(key, *value)) {
    CO_TRY_DO(co_await profiles_.set(std::move(user_id), std::move(key), std::nullopt));
    co_return net::Response::empty_object();
  }
  CO_TRY_DO(check_profile_value(key, *value));
  CO_TRY_DO(co_await profiles_.set(std::move(user_id), std::move(key), *value));
  co_return net::Response::empty_object();
}

ProfileApi::Answer ProfileApi::remove(net::Request& req, std::string user_id, std::string key) {
  CO_TRY(const auto session, co_await gate_.require_active(req, Guests::Allowed));
  if (user_id != session->user_id) co_return fail(Errc::Forbidden, "Nobody may change another user's profile");
  CO_TRY_DO(check_profile_key(key));
  CO_TRY_DO(co_await profiles_.set(std::move(user_id), std::move(key), std::nullopt));
  co_return net::Response::empty_object();
}

// -- the user directory --

void UserDirectoryApi::routes(net::Router& router) {
  using net::Method;
  router.add(Method::Post, "/_matrix/client/v3/user_directory/search",
             [this](net::Request& req) { return search(req); });
  for (const auto* path :
       {"/_matrix/client/v1/mutual_rooms", "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms"}) {
    router.add(Method::Get, path, [this](net::Request& req) { return mutual_rooms(req); });
  }
}

UserDirectoryApi::Answer UserDirectoryApi::search(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(const auto body, read_body(req));
  CO_TRY(const auto given, need_string(body, "search_term"));
  const auto limit = std::clamp(get_int(body, "limit").value_or(kFoundDefault), std::int64_t{0}, kFoundMax);
  const std::string term(trim(given));

  std::vector<repo::FoundUser> found;
  if (!term.empty()) {
    // "@kim" looks for a localpart, "@kim:server" for exactly this user.
    const auto id = parse_user_id(term);
    std::string_view word(term);
    if (id) word = id->localpart;
    else if (word.starts_with('@')) word.remove_prefix(1);
    std::string exact;
    if (id) {
      const auto user = co_await accounts_.find(term);
      if (user && !(*user)->deactivated) exact = term;
    }
    auto read = co_await readers_.read([&](store::Connection& c) -> Result<std::vector<repo::FoundUser>> {
      return repo::search_users(c, session->user_id, word, exact, limit + 1);
    });
    CO_TRY(found, std::move(read));
  }
  const bool limited = std::ssize(found) > limit;
  if (limited) found.resize(static_cast<std::size_t>(limit));
  json::array results;
  for (const auto& user : found) {
    json::object o{{"user_id", user.user_id}};
    if (user.displayname) o["display_name"] = *user.displayname;
    if (user.avatar_url) o["avatar_url"] = *user.avatar_url;
    results.push_back(std::move(o));
  }
  json::object answer;
  answer["results"] = std::move(results);
  answer["limited"] = limited;
  co_return reply(answer);
}

UserDirectoryApi::Answer UserDirectoryApi::mutual_rooms(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req));
  const auto other = req.param("user_id");
  if (!other) co_return fail(Errc::MissingParam, "Missing: user_id");
  if (!parse_user_id(*other)) co_return fail(Errc::InvalidParam, "user_id is not a user id");
  if (*other == session->user_id) co_return fail(Errc::InvalidParam, "One shares every room with oneself");
  auto read = co_await readers_.read([&](store::Connection& c) -> Result<std::vector<std::string>> {
    return repo::mutual_rooms(c, session->user_id, *other);
  });
  CO_TRY(const auto rooms, std::move(read));
  json::object answer;
  answer["joined"] = json::array(rooms.begin(), rooms.end());
  answer["count"] = rooms.size();
  co_return reply(answer);
}

}  // namespace haechi::messenger
