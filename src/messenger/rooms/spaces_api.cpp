#include "messenger/rooms/spaces_api.hpp"

#include <algorithm>

#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

constexpr std::int64_t kPageMax = 100;

/// A query parameter that is a number of at least `min`; nothing when absent.
Result<std::optional<std::int64_t>> number(const net::Request& req, std::string_view name, std::int64_t min) {
  if (!req.param(name)) return std::nullopt;
  const auto n = req.param_int(name);
  if (!n || *n < min)
    return fail(Errc::InvalidParam, std::string(name) + " must be a number from " + std::to_string(min) + " on");
  return n;
}

}  // namespace

void SpacesApi::routes(net::Router& router) {
  using net::Method;
  using S = std::string;
  for (const auto* path : {"/_matrix/client/v1/room_summary/{roomIdOrAlias}",
                           "/_matrix/client/unstable/im.nheko.summary/rooms/{roomIdOrAlias}/summary",
                           "/_matrix/client/unstable/im.nheko.summary/summary/{roomIdOrAlias}"}) {
    router.on<S>(Method::Get, path, [this](net::Request& req, S r) { return summary(req, std::move(r)); });
  }
  for (const auto* path : {"/_matrix/client/v1/rooms/{roomId}/hierarchy",
                           "/_matrix/client/unstable/org.matrix.msc2946/rooms/{roomId}/hierarchy"}) {
    router.on<S>(Method::Get, path, [this](net::Request& req, S r) { return hierarchy(req, std::move(r)); });
  }
}

SpacesApi::Answer SpacesApi::summary(net::Request& req, std::string id_or_alias) {
  CO_TRY(const auto session, co_await gate_.optional(req));
  CO_TRY(auto room_id, co_await directory_.resolve(std::move(id_or_alias)));
  CO_TRY(auto summary, co_await spaces_.summary(std::move(room_id), session ? session->user_id : std::string()));
  if (req.route.find("im.nheko.summary") != std::string_view::npos) {
    // Clients from before the specification had it read these names.
    const auto add = [&](std::string_view name, std::string_view from) {
      // Copied first: making room for the new member moves the old ones.
      if (const auto* v = summary.if_contains(from)) summary.emplace(name, json::value(*v));
    };
    add("im.nheko.summary.room_version", "room_version");
    add("im.nheko.summary.version", "room_version");
    add("im.nheko.summary.encryption", "encryption");
  }
  co_return reply(summary);
}

SpacesApi::Answer SpacesApi::hierarchy(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  Spaces::Walk walk;
  CO_TRY(const auto limit, number(req, "limit", 1));
  CO_TRY(const auto depth, number(req, "max_depth", 0));
  if (limit) walk.limit = static_cast<std::size_t>(std::min(*limit, kPageMax));
  if (depth) walk.max_depth = static_cast<std::size_t>(*depth);
  const auto suggested = req.param("suggested_only").value_or("false");
  if (suggested != "true" && suggested != "false")
    co_return fail(Errc::InvalidParam, "suggested_only must be true or false");
  walk.suggested_only = suggested == "true";
  walk.from = req.param("from").value_or("");
  CO_TRY(auto page, co_await spaces_.hierarchy(std::move(room_id), session->user_id, std::move(walk)));
  json::object body{{"rooms", std::move(page.rooms)}};
  if (!page.next.empty()) body["next_batch"] = std::move(page.next);
  co_return reply(body);
}

}  // namespace haechi::messenger
