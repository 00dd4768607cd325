#include "messenger/rooms/reports_api.hpp"

#include "messenger/errc.hpp"
#include "messenger/kinds.hpp"
#include "messenger/rooms/repo.hpp"

namespace haechi::messenger {
namespace {

/// Fills what the body says: "reason" and, for events, "score" (-100 to 0).
Result<> read_words(repo::rooms::ReportRow& report, const json::object& body) {
  if (const auto* reason = get(body, "reason"); reason && !reason->is_null()) {
    if (!reason->is_string()) return fail(Errc::BadJson, "reason must be a string");
    report.reason = std::string(sv(reason->get_string()));
  }
  if (const auto* score = get(body, "score"); score && !score->is_null()) {
    report.score = get_int(body, "score");
    if (!report.score) return fail(Errc::BadJson, "score must be an integer");
  }
  return {};
}

}  // namespace

struct ReportsApi::Report {
  repo::rooms::ReportRow row;
  std::string subject;
};

void ReportsApi::routes(net::Router& router) {
  using net::Method;
  using S = std::string;
  const S v3 = "/_matrix/client/v3";
  router.on<S>(Method::Post, v3 + "/rooms/{roomId}/report",
               [this](net::Request& req, S r) { return room(req, std::move(r)); });
  router.on<S, S>(Method::Post, v3 + "/rooms/{roomId}/report/{eventId}",
                  [this](net::Request& req, S r, S e) { return event(req, std::move(r), std::move(e)); });
  router.on<S>(Method::Post, v3 + "/users/{userId}/report",
               [this](net::Request& req, S u) { return user(req, std::move(u)); });
}

ReportsApi::Answer ReportsApi::keep(Report report) {
  CO_TRY_DO(co_await journal_.submit([report = std::move(report)](journal::Tx& tx) -> Result<> {
    repo::rooms::insert_report(tx.sql(), report.row, tx.wall_ms());
    tx.append(kind::kReport, report.subject, "{}");
    return {};
  }));
  co_return net::Response::empty_object();
}

ReportsApi::Answer ReportsApi::room(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(const auto body, read_body(req, EmptyBody::IsObject));
  Report report{{.reporter = session->user_id, .room_id = room_id}, room_id};
  CO_TRY_DO(read_words(report.row, body));
  CO_TRY_DO(gate_.messages.take(session->user_id));
  CO_TRY_DO(co_await rooms_.get(std::move(room_id)));
  co_return co_await keep(std::move(report));
}

ReportsApi::Answer ReportsApi::event(net::Request& req, std::string room_id, std::string event_id) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(const auto body, read_body(req, EmptyBody::IsObject));
  Report report{{.reporter = session->user_id, .room_id = room_id, .event_id = event_id}, room_id};
  CO_TRY_DO(read_words(report.row, body));
  CO_TRY_DO(gate_.messages.take(session->user_id));
  // "404: The event was not found or you are not joined to the room where the event resides."
  auto found = co_await rooms_.get(std::move(room_id));
  if (!found || (*found)->membership(session->user_id) != Membership::Join) {
    co_return fail(Errc::NotFound, "No such event, or you are not in its room");
  }
  CO_TRY(auto about, co_await rooms_.event(*found, std::move(event_id)));
  CO_TRY_DO(co_await visibility_.require(*found, session->user_id, std::move(about)));
  co_return co_await keep(std::move(report));
}

ReportsApi::Answer ReportsApi::user(net::Request& req, std::string user_id) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(const auto body, read_body(req, EmptyBody::IsObject));
  Report report{{.reporter = session->user_id, .user_id = user_id}, user_id};
  CO_TRY_DO(read_words(report.row, body));
  CO_TRY_DO(gate_.messages.take(session->user_id));
  CO_TRY_DO(co_await accounts_.find(std::move(user_id)));
  co_return co_await keep(std::move(report));
}

}  // namespace haechi::messenger
