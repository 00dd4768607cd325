#include "messenger/relations/api.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "messenger/errc.hpp"
#include "messenger/history/params.hpp"
#include "messenger/relations/repo.hpp"
#include "messenger/sync/token.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kLimitDefault = 50;
constexpr std::size_t kLimitMax = 500;
constexpr std::size_t kThreadsDefault = 20;
constexpr std::size_t kThreadsMax = 100;
/// `recurse` goes so deep (the specification asks for 3 at least) and looks at so many.
constexpr std::size_t kDepthMax = 5;
constexpr std::size_t kDescendantsMax = 5000;

}  // namespace

RelationsApi::RelationsApi(Gate& gate, Rooms& rooms, Users& users, Visibility& visibility, Relations& relations,
                           store::Readers& readers, const Clock& clock)
    : gate_(gate),
      rooms_(rooms),
      visibility_(visibility),
      relations_(relations),
      readers_(readers),
      access_(rooms, users, visibility),
      pages_(rooms, visibility, relations),
      clock_(clock) {}

void RelationsApi::routes(net::Router& router) {
  using net::Method;
  using S = std::string;
  for (const S version : {"v1", "unstable"}) {
    const S base = "/_matrix/client/" + version + "/rooms/{roomId}/relations/{eventId}";
    router.on<S, S>(Method::Get, base,
                    [this](net::Request& req, S r, S e) { return relations(req, std::move(r), std::move(e), {}, {}); });
    router.on<S, S, S>(Method::Get, base + "/{relType}", [this](net::Request& req, S r, S e, S rel) {
      return relations(req, std::move(r), std::move(e), std::move(rel), {});
    });
    router.on<S, S, S, S>(Method::Get, base + "/{relType}/{eventType}",
                          [this](net::Request& req, S r, S e, S rel, S type) {
                            return relations(req, std::move(r), std::move(e), std::move(rel), std::move(type));
                          });
  }
  router.on<S>(Method::Get, "/_matrix/client/v1/rooms/{roomId}/threads",
               [this](net::Request& req, S r) { return threads(req, std::move(r)); });
}

RelationsApi::Answer RelationsApi::relations(net::Request& req, std::string room_id, std::string event_id,
                                             std::string rel_type, std::string event_type) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(const auto dir, direction_param(req, Direction::Backward));
  CO_TRY(const auto from, token_param(req, "from"));
  CO_TRY(const auto to, token_param(req, "to"));
  CO_TRY(auto limit, limit_param(req, kLimitDefault, kLimitMax));
  limit = std::max<std::size_t>(limit, 1);
  const bool recurse = req.param("recurse") == "true";
  CO_TRY(auto reader, co_await access_.enter(std::move(room_id), session->user_id));
  CO_TRY(const auto parent, co_await access_.event(reader, std::move(event_id)));

  const bool back = dir == Direction::Backward;
  const Position low = back ? to.value_or(0) : from.value_or(0);
  const Position high = back ? from.value_or(INT64_MAX) : to.value_or(INT64_MAX);
  const repo::Kind kind{std::move(rel_type), std::move(event_type)};
  // One more than asked for tells whether there are others.
  auto found = co_await readers_.read([&](store::Connection& c) -> Result<std::vector<Position>> {
    if (!recurse) return repo::children(c, reader.room->num, parent->event_id, kind, low, high, limit + 1, dir);
    auto all = repo::descendants(c, reader.room->num, parent->event_id, kind, kDepthMax, kDescendantsMax);
    std::erase_if(all, [&](Position p) { return p < low || p >= high; });
    if (back) std::ranges::reverse(all);
    if (all.size() > limit + 1) all.resize(limit + 1);
    return all;
  });
  if (!found) co_return std::unexpected(std::move(found.error()));
  const bool more = found->size() > limit;
  if (more) found->resize(limit);
  const Position last = found->empty() ? 0 : found->back();
  CO_TRY(auto events, co_await rooms_.events_at(reader.room, *std::move(found)));
  CO_TRY_DO(co_await reader.prepare(visibility_, events));
  std::erase_if(events, [&](const EventPtr& e) { return e->pos > reader.upto || !reader.sees(*e); });

  std::string body = "{\"chunk\":[";
  CO_TRY_DO(co_await pages_.append(body, reader, events, device_key(*session), clock_.wall_ms()));
  body += ']';
  auto out = std::back_inserter(body);
  if (more) fmt::format_to(out, ",\"next_batch\":\"{}\"", page_token(back ? last : last + 1));
  if (from) fmt::format_to(out, ",\"prev_batch\":\"{}\"", page_token(*from));
  if (recurse) fmt::format_to(out, ",\"recursion_depth\":{}", kDepthMax);
  body += '}';
  co_return reply_text(std::move(body));
}

RelationsApi::Answer RelationsApi::threads(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(const auto from, token_param(req, "from"));
  CO_TRY(auto limit, limit_param(req, kThreadsDefault, kThreadsMax));
  limit = std::max<std::size_t>(limit, 1);
  const auto include = req.param("include").value_or("all");
  if (include != "all" && include != "participated")
    co_return fail(Errc::InvalidParam, "include is all or participated");
  const bool participated = include == "participated";
  CO_TRY(auto reader, co_await access_.enter(std::move(room_id), session->user_id));
  const auto& user = session->user_id;

  std::vector<EventPtr> roots;
  Position before = from.value_or(INT64_MAX);
  bool more = true;
  // Who took part in few of many threads pages on.
  constexpr std::size_t kRoundsMax = 10;
  for (std::size_t round = 0; round < kRoundsMax && more && roots.size() < limit; ++round) {
    struct Candidate {
      repo::ThreadRow row;
      bool replied;
    };
    const auto want = limit - roots.size() + 1;
    auto read = co_await readers_.read([&](store::Connection& c) -> Result<std::vector<Candidate>> {
      std::vector<Candidate> out;
      for (auto& row : repo::threads(c, reader.room->num, before, want)) {
        const bool replied = !participated || repo::replied(c, row.root_id, user);
        out.push_back({std::move(row), replied});
      }
      return out;
    });
    if (!read) co_return std::unexpected(std::move(read.error()));
    more = read->size() == want;
    if (more) read->pop_back();
    for (const auto& candidate : *read) {
      before = candidate.row.latest;
      auto root = co_await access_.event(reader, candidate.row.root_id);
      if (!root || (*root)->pos > reader.upto) continue;
      if (candidate.replied || (*root)->sender == user) roots.push_back(*std::move(root));
    }
  }

  // Whose replies are all redacted, or hidden from this reader, is no thread.
  CO_TRY(const auto bundles, co_await relations_.bundles(reader.room, user, roots));
  std::erase_if(roots, [&](const EventPtr& e) {
    const auto it = bundles.find(e->event_id);
    return it == bundles.end() || it->second.find("\"m.thread\":") == std::string::npos;
  });
  std::string body = "{\"chunk\":[";
  CO_TRY_DO(co_await pages_.append(body, reader, roots, device_key(*session), clock_.wall_ms()));
  body += ']';
  if (more) fmt::format_to(std::back_inserter(body), ",\"next_batch\":\"{}\"", page_token(before));
  body += '}';
  co_return reply_text(std::move(body));
}

}  // namespace haechi::messenger
