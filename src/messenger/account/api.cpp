#include "messenger/account/api.hpp"

#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

net::Response server_controlled() {
  return reply({{"errcode", "M_BAD_JSON"}, {"error", "This type of account data is controlled by the server"}}, 405);
}

}  // namespace

void AccountDataApi::routes(net::Router& router) {
  using net::Method;
  using S = std::string;
  const auto global = [&](const S& base) {
    router.on<S, S>(Method::Get, base, [this](net::Request& req, S user, S type) {
      return get(req, std::move(user), {}, std::move(type));
    });
    router.on<S, S>(Method::Put, base, [this](net::Request& req, S user, S type) {
      return put(req, std::move(user), {}, std::move(type));
    });
  };
  global("/_matrix/client/v3/user/{userId}/account_data/{type}");
  router.on<S, S>(
      Method::Delete, "/_matrix/client/unstable/org.matrix.msc3391/user/{userId}/account_data/{type}",
      [this](net::Request& req, S user, S type) { return remove(req, std::move(user), {}, std::move(type)); });

  const S room = "/_matrix/client/v3/user/{userId}/rooms/{roomId}";
  router.on<S, S, S>(Method::Get, room + "/account_data/{type}", [this](net::Request& req, S user, S id, S type) {
    return get(req, std::move(user), std::move(id), std::move(type));
  });
  router.on<S, S, S>(Method::Put, room + "/account_data/{type}", [this](net::Request& req, S user, S id, S type) {
    return put(req, std::move(user), std::move(id), std::move(type));
  });
  router.on<S, S, S>(Method::Delete,
                     "/_matrix/client/unstable/org.matrix.msc3391/user/{userId}/rooms/{roomId}/account_data/{type}",
                     [this](net::Request& req, S user, S id, S type) {
                       return remove(req, std::move(user), std::move(id), std::move(type));
                     });
  router.on<S, S>(Method::Get, room + "/tags",
                  [this](net::Request& req, S user, S id) { return get_tags(req, std::move(user), std::move(id)); });
  router.on<S, S, S>(Method::Put, room + "/tags/{tag}", [this](net::Request& req, S user, S id, S tag) {
    return put_tag(req, std::move(user), std::move(id), std::move(tag));
  });
  router.on<S, S, S>(Method::Delete, room + "/tags/{tag}", [this](net::Request& req, S user, S id, S tag) {
    return delete_tag(req, std::move(user), std::move(id), std::move(tag));
  });
}

Task<Result<>> AccountDataApi::require_own(net::Request& req, std::string user, std::string room) {
  CO_TRY(auto session, co_await gate_.require(req, Guests::Allowed));
  if (session->user_id != user) co_return fail(Errc::Forbidden, "Account data is its owner's alone");
  if (!room.empty() && room.front() != '!') co_return fail(Errc::InvalidParam, "This is not a room id");
  co_return Result<>{};
}

AccountDataApi::Answer AccountDataApi::get(net::Request& req, std::string user, std::string room, std::string type) {
  CO_TRY_DO(co_await require_own(req, user, room));
  if (room.empty() && type == "m.push_rules") {
    CO_TRY(auto state, co_await rules_.of(user));
    co_return reply(state->rules.to_client(user));
  }
  CO_TRY(auto text, co_await data_.get(std::move(user), std::move(room), std::move(type)));
  co_return reply_text(std::move(text));
}

AccountDataApi::Answer AccountDataApi::put(net::Request& req, std::string user, std::string room, std::string type) {
  CO_TRY_DO(co_await require_own(req, user, room));
  if (is_server_controlled(type)) co_return server_controlled();
  CO_TRY(auto content, read_body(req));
  CO_TRY_DO(co_await data_.put(std::move(user), std::move(room), std::move(type), std::move(content)));
  co_return net::Response::empty_object();
}

AccountDataApi::Answer AccountDataApi::remove(net::Request& req, std::string user, std::string room, std::string type) {
  CO_TRY_DO(co_await require_own(req, user, room));
  if (is_server_controlled(type)) co_return server_controlled();
  CO_TRY_DO(co_await data_.remove(std::move(user), std::move(room), std::move(type)));
  co_return net::Response::empty_object();
}

AccountDataApi::Answer AccountDataApi::get_tags(net::Request& req, std::string user, std::string room) {
  CO_TRY_DO(co_await require_own(req, user, room));
  CO_TRY(auto tags, co_await data_.tags(std::move(user), std::move(room)));
  co_return reply({{"tags", std::move(tags)}});
}

AccountDataApi::Answer AccountDataApi::put_tag(net::Request& req, std::string user, std::string room, std::string tag) {
  CO_TRY_DO(co_await require_own(req, user, room));
  CO_TRY(auto content, read_body(req, EmptyBody::IsObject));
  CO_TRY_DO(co_await data_.set_tag(std::move(user), std::move(room), std::move(tag), std::move(content)));
  co_return net::Response::empty_object();
}

AccountDataApi::Answer AccountDataApi::delete_tag(net::Request& req, std::string user, std::string room,
                                                  std::string tag) {
  CO_TRY_DO(co_await require_own(req, user, room));
  CO_TRY_DO(co_await data_.remove_tag(std::move(user), std::move(room), std::move(tag)));
  co_return net::Response::empty_object();
}

}  // namespace haechi::messenger
