#include "messenger/push/api.hpp"

#include <algorithm>

#include "messenger/errc.hpp"
#include "messenger/sync/token.hpp"

namespace haechi::messenger {
namespace {
constexpr std::int64_t kNotificationsDefault = 20;
constexpr std::int64_t kNotificationsMax = 100;

/// Whoever asks for a rule of a kind that nobody knows asks for a rule that is not there.
Result<push::Kind> kind_of_rule(std::string_view text) {
  auto kind = push::parse_kind(text);
  if (!kind) return fail(Errc::NotFound, "No such push rule");
  return kind;
}

}  // namespace

void PushApi::routes(net::Router& router) {
  using net::Method;
  using S = std::string;
  const S base = "/_matrix/client/v3/pushrules";
  for (const auto* end : {"", "/"}) {
    router.add(Method::Get, base + end, [this](net::Request& req) { return get_all(req); });
    router.add(Method::Get, base + "/global" + end, [this](net::Request& req) { return get_global(req); });
  }
  const S rule = base + "/global/{kind}/{ruleId}";
  router.on<S, S>(Method::Get, rule,
                  [this](net::Request& req, S kind, S id) { return get_rule(req, std::move(kind), std::move(id)); });
  router.on<S, S>(Method::Put, rule,
                  [this](net::Request& req, S kind, S id) { return put_rule(req, std::move(kind), std::move(id)); });
  router.on<S, S>(Method::Delete, rule,
                  [this](net::Request& req, S kind, S id) { return delete_rule(req, std::move(kind), std::move(id)); });
  for (const S part : {"enabled", "actions"}) {
    router.on<S, S>(Method::Get, rule + '/' + part, [this, part](net::Request& req, S kind, S id) {
      return get_part(req, std::move(kind), std::move(id), part);
    });
  }
  router.on<S, S>(Method::Put, rule + "/enabled",
                  [this](net::Request& req, S kind, S id) { return put_enabled(req, std::move(kind), std::move(id)); });
  router.on<S, S>(Method::Put, rule + "/actions",
                  [this](net::Request& req, S kind, S id) { return put_actions(req, std::move(kind), std::move(id)); });

  router.add(Method::Get, "/_matrix/client/v3/pushers", [this](net::Request& req) { return get_pushers(req); });
  router.add(Method::Post, "/_matrix/client/v3/pushers/set", [this](net::Request& req) { return set_pusher(req); });
  router.add(Method::Get, "/_matrix/client/v3/notifications",
             [this](net::Request& req) { return get_notifications(req); });
}

PushApi::Answer PushApi::get_all(net::Request& req) {
  CO_TRY(auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(auto user, co_await rules_.of(session->user_id));
  co_return reply(user->rules.to_client(user->id));
}

PushApi::Answer PushApi::get_global(net::Request& req) {
  CO_TRY(auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(auto user, co_await rules_.of(session->user_id));
  co_return reply(user->rules.global(user->id));
}

PushApi::Answer PushApi::get_rule(net::Request& req, std::string kind_text, std::string id) {
  CO_TRY(auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(const auto kind, kind_of_rule(kind_text));
  CO_TRY(auto user, co_await rules_.of(session->user_id));
  CO_TRY(auto rule, user->rules.get(kind, id, user->id));
  co_return reply(rule);
}

PushApi::Answer PushApi::put_rule(net::Request& req, std::string kind_text, std::string id) {
  CO_TRY(auto session, co_await gate_.require(req));
  CO_TRY(const auto kind, push::parse_kind(kind_text));
  CO_TRY(auto body, read_body(req));
  const auto before = req.param("before");
  const auto after = req.param("after");
  CO_TRY_DO(co_await rules_.edit(session->user_id,
                                 [=](push::Ruleset& rules) { return rules.put_rule(kind, id, body, before, after); }));
  co_return net::Response::empty_object();
}

PushApi::Answer PushApi::delete_rule(net::Request& req, std::string kind_text, std::string id) {
  CO_TRY(auto session, co_await gate_.require(req));
  CO_TRY(const auto kind, kind_of_rule(kind_text));
  CO_TRY_DO(co_await rules_.edit(session->user_id, [=](push::Ruleset& rules) { return rules.delete_rule(kind, id); }));
  co_return net::Response::empty_object();
}

PushApi::Answer PushApi::get_part(net::Request& req, std::string kind_text, std::string id, std::string part) {
  CO_TRY(auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(const auto kind, kind_of_rule(kind_text));
  CO_TRY(auto user, co_await rules_.of(session->user_id));
  CO_TRY(auto rule, user->rules.get(kind, id, user->id));
  co_return reply({{part, rule.at(part)}});
}

PushApi::Answer PushApi::put_enabled(net::Request& req, std::string kind_text, std::string id) {
  CO_TRY(auto session, co_await gate_.require(req));
  CO_TRY(const auto kind, kind_of_rule(kind_text));
  CO_TRY(auto body, read_body(req));
  if (!body.contains("enabled")) co_return fail(Errc::MissingParam, "Missing: enabled");
  const auto enabled = get_bool(body, "enabled");
  if (!enabled) co_return fail(Errc::InvalidParam, "enabled must be a boolean");
  CO_TRY_DO(co_await rules_.edit(session->user_id,
                                 [=](push::Ruleset& rules) { return rules.set_enabled(kind, id, *enabled); }));
  co_return net::Response::empty_object();
}

PushApi::Answer PushApi::put_actions(net::Request& req, std::string kind_text, std::string id) {
  CO_TRY(auto session, co_await gate_.require(req));
  CO_TRY(const auto kind, kind_of_rule(kind_text));
  CO_TRY(auto body, read_body(req));
  if (!body.contains("actions")) co_return fail(Errc::MissingParam, "Missing: actions");
  const auto* given = get_array(body, "actions");
  if (!given) co_return fail(Errc::InvalidParam, "actions must be an array");
  const json::array actions = *given;
  CO_TRY_DO(co_await rules_.edit(session->user_id,
                                 [=](push::Ruleset& rules) { return rules.set_actions(kind, id, actions); }));
  co_return net::Response::empty_object();
}

PushApi::Answer PushApi::get_pushers(net::Request& req) {
  CO_TRY(auto session, co_await gate_.require(req));
  json::array list;
  if (const auto* mine = pushers_.of(session->user_id)) {
    for (const auto& [key, p] : *mine) list.push_back(p.to_client());
  }
  co_return reply({{"pushers", std::move(list)}});
}

PushApi::Answer PushApi::set_pusher(net::Request& req) {
  CO_TRY(auto session, co_await gate_.require(req));
  CO_TRY(auto body, read_body(req));
  const auto* kind = get(body, "kind");
  if (!kind) co_return fail(Errc::MissingParam, "Missing: kind");
  if (kind->is_null()) {
    CO_TRY(auto app_id, need_string(body, "app_id"));
    CO_TRY(auto pushkey, need_string(body, "pushkey"));
    CO_TRY_DO(co_await pushers_.remove(session->user_id, std::move(app_id), std::move(pushkey)));
    co_return net::Response::empty_object();
  }
  CO_TRY(auto pusher, Pusher::parse(body));
  auto others = Pushers::Others::Remove;
  if (const auto* append = get(body, "append"); append && !append->is_null()) {
    if (!append->is_bool()) co_return fail(Errc::InvalidParam, "append must be a boolean");
    if (append->get_bool()) others = Pushers::Others::Keep;
  }
  pusher.user_id = session->user_id;
  pusher.device_id = session->device_id;
  pusher.ts = clock_.wall_ms();
  // In memory, so that the rooms the user is in learn of the pusher.
  CO_TRY(const auto user, co_await users_.get(session->user_id));
  CO_TRY_DO(co_await pushers_.set(std::move(pusher), others));
  co_return net::Response::empty_object();
}

PushApi::Answer PushApi::get_notifications(net::Request& req) {
  CO_TRY(auto session, co_await gate_.require(req));
  Notifications::Query query{.user = session->user_id, .device = device_key(*session), .now = clock_.wall_ms()};
  if (const auto from = req.param("from"); from && !from->empty()) {
    const auto before = parse_page_token(*from);
    if (!before) co_return fail(Errc::InvalidParam, "from is not a token of this server");
    query.before = *before;
  }
  if (const auto text = req.param("limit")) {
    const auto limit = parse_int(*text);
    if (!limit || *limit < 0) co_return fail(Errc::InvalidParam, "limit must be a number");
    query.limit = static_cast<std::size_t>(std::clamp<std::int64_t>(*limit, 1, kNotificationsMax));
  } else {
    query.limit = static_cast<std::size_t>(kNotificationsDefault);
  }
  query.highlights_only = req.param("only").value_or("").find("highlight") != std::string::npos;
  CO_TRY(auto body, co_await notifications_.list(std::move(query)));
  co_return reply_text(std::move(body));
}

}  // namespace haechi::messenger
