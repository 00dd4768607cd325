#include "messenger/sync/api.hpp"

#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {
constexpr std::int64_t kTimeoutMaxMs = 10 * 60 * 1000;
}

void SyncApi::routes(net::Router& router) {
  using net::Method;
  using S = std::string;
  router.add(Method::Get, "/_matrix/client/v3/sync", [this](net::Request& req) { return get_sync(req); });
  router.on<S>(Method::Post, "/_matrix/client/v3/user/{userId}/filter",
               [this](net::Request& req, S user) { return post_filter(req, std::move(user)); });
  router.on<S, S>(Method::Get, "/_matrix/client/v3/user/{userId}/filter/{filterId}",
                  [this](net::Request& req, S user, S id) { return get_filter(req, std::move(user), std::move(id)); });
}

SyncApi::Answer SyncApi::get_sync(net::Request& req) {
  // Read in a coroutine of its own: what it needed is gone while this one waits.
  CO_TRY(auto request, co_await read_request(req));
  CO_TRY(auto body, co_await sync_.sync(std::move(request), req.canceller));
  co_return reply_text(std::move(body));
}

Task<Result<SyncRequest>> SyncApi::read_request(net::Request& req) {
  SyncRequest request;
  request.session = gate_.at_hand(req, Memory::MayLag);
  if (!request.session) {
    CO_TRY(request.session, co_await gate_.require(req, Guests::Allowed));
  }
  if (const auto since = req.param("since"); since && !since->empty()) {
    request.since = SyncToken::parse(*since);
    if (!request.since) co_return fail(Errc::InvalidParam, "since is not a sync token of this server");
  }
  if (const auto timeout = req.param("timeout")) {
    const auto ms = parse_int(*timeout);
    if (!ms || *ms < 0) co_return fail(Errc::InvalidParam, "timeout must be a number of milliseconds");
    request.timeout = std::chrono::milliseconds(std::min(*ms, kTimeoutMaxMs));
  }
  if (const auto full = req.param("full_state")) {
    if (*full != "true" && *full != "false") co_return fail(Errc::InvalidParam, "full_state must be true or false");
    request.full_state = *full == "true";
  }
  if (const auto presence = req.param("set_presence")) {
    if (*presence != "online" && *presence != "offline" && *presence != "unavailable") {
      co_return fail(Errc::InvalidParam, "set_presence must be online, unavailable or offline");
    }
    request.set_presence = *presence;
  }
  if (req.param("use_state_after") == "true") request.style = StateStyle::After;
  else if (req.param("org.matrix.msc4222.use_state_after") == "true") request.style = StateStyle::AfterUnstable;
  CO_TRY(request.filter, co_await filters_.of_query(request.session->user_id, req.param("filter").value_or("")));
  co_return request;
}

SyncApi::Answer SyncApi::post_filter(net::Request& req, std::string user_id) {
  CO_TRY(auto session, co_await gate_.require(req, Guests::Allowed));
  if (session->user_id != user_id) co_return fail(Errc::Forbidden, "Filters can only be made for oneself");
  CO_TRY(auto body, read_body(req));
  CO_TRY(auto id, co_await filters_.define(std::move(user_id), std::move(body)));
  co_return reply({{"filter_id", id}});
}

SyncApi::Answer SyncApi::get_filter(net::Request& req, std::string user_id, std::string filter_id) {
  CO_TRY(auto session, co_await gate_.require(req, Guests::Allowed));
  if (session->user_id != user_id) co_return fail(Errc::Forbidden, "Filters can only be read by their owner");
  CO_TRY(auto text, co_await filters_.definition(std::move(user_id), std::move(filter_id)));
  co_return reply_text(std::move(text));
}

}  // namespace haechi::messenger
