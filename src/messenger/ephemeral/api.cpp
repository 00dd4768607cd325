#include "messenger/ephemeral/api.hpp"

#include <algorithm>

#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

constexpr std::int64_t kTypingDefaultMs = 30'000;
constexpr std::int64_t kTypingMaxMs = 120'000;

bool is_receipt_type(std::string_view type) { return type == "m.read" || type == "m.read.private"; }

/// "" when the receipt is for all threads.
Result<std::string> thread_of_body(const json::object& body) {
  const auto* value = get(body, "thread_id");
  if (!value) return std::string();
  const auto thread = get_string(body, "thread_id");
  if (!thread || thread->empty()) return fail(Errc::InvalidParam, "thread_id must be a non-empty string");
  if (*thread != kMainThread && !thread->starts_with('$')) {
    return fail(Errc::InvalidParam, "thread_id must be \"main\" or an event id");
  }
  return std::string(*thread);
}

}  // namespace

void EphemeralApi::routes(net::Router& router) {
  using net::Method;
  using S = std::string;
  router.on<S, S, S>(Method::Post, "/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}",
                     [this](net::Request& req, S room, S type, S event) {
                       return post_receipt(req, std::move(room), std::move(type), std::move(event));
                     });
  router.on<S>(Method::Post, "/_matrix/client/v3/rooms/{roomId}/read_markers",
               [this](net::Request& req, S room) { return post_read_markers(req, std::move(room)); });
  router.on<S, S>(
      Method::Put, "/_matrix/client/v3/rooms/{roomId}/typing/{userId}",
      [this](net::Request& req, S room, S user) { return put_typing(req, std::move(room), std::move(user)); });
  router.on<S>(Method::Get, "/_matrix/client/v3/presence/{userId}/status",
               [this](net::Request& req, S user) { return get_presence(req, std::move(user)); });
  router.on<S>(Method::Put, "/_matrix/client/v3/presence/{userId}/status",
               [this](net::Request& req, S user) { return put_presence(req, std::move(user)); });
}

Task<Result<RoomPtr>> EphemeralApi::joined_room(std::string user, std::string room_id) {
  auto room = co_await rooms_.get(std::move(room_id));
  if (!room && !room.error().is(Errc::NotFound)) co_return std::unexpected(std::move(room.error()));
  if (!room || (*room)->membership(user) != Membership::Join)
    co_return fail(Errc::Forbidden, "You are not in this room");
  co_return *std::move(room);
}

Task<Result<>> EphemeralApi::move_fully_read(std::string user, RoomPtr room, EventPtr event) {
  // Forward only. Two devices that race may leave the older mark: harmless, the next one mends it.
  if (auto now = co_await account_data_.get(user, room->id, "m.fully_read")) {
    const auto content = parse_json_object(*now);
    const auto id = content ? get_string(*content, "event_id") : std::nullopt;
    if (id) {
      const auto marked = co_await rooms_.event(room, std::string(*id));
      if (marked && (*marked)->pos >= event->pos) co_return Result<>{};
    }
  }
  co_return co_await account_data_.set_fully_read(std::move(user), room->id, event->event_id);
}

EphemeralApi::Answer EphemeralApi::post_receipt(net::Request& req, std::string room_id, std::string type,
                                                std::string event_id) {
  CO_TRY(auto session, co_await gate_.require(req, Guests::Allowed));
  const bool fully_read = type == "m.fully_read";
  if (!fully_read && !is_receipt_type(type)) co_return fail(Errc::InvalidParam, "Unknown type of receipt: " + type);
  CO_TRY(auto body, read_body(req, EmptyBody::IsObject));
  CO_TRY(auto thread, thread_of_body(body));
  if (fully_read && !thread.empty()) co_return fail(Errc::InvalidParam, "m.fully_read has no thread");
  CO_TRY(auto room, co_await joined_room(session->user_id, std::move(room_id)));
  CO_TRY(auto event, co_await rooms_.event(room, std::move(event_id)));
  if (fully_read) {
    CO_TRY_DO(co_await move_fully_read(session->user_id, room, event));
    co_return net::Response::empty_object();
  }
  if (!thread.empty()) CO_TRY_DO(co_await receipts_.check_thread(room, event, thread));
  std::vector<ReceiptMove> moves;
  moves.push_back({std::move(type), std::move(thread), std::move(event)});
  CO_TRY_DO(co_await receipts_.move(room, session->user_id, std::move(moves)));
  co_return net::Response::empty_object();
}

EphemeralApi::Answer EphemeralApi::post_read_markers(net::Request& req, std::string room_id) {
  CO_TRY(auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(auto body, read_body(req, EmptyBody::IsObject));
  CO_TRY(auto room, co_await joined_room(session->user_id, std::move(room_id)));
  std::vector<ReceiptMove> moves;
  EventPtr fully_read;
  for (const std::string_view type : {"m.fully_read", "m.read", "m.read.private"}) {
    const auto* value = get(body, type);
    if (!value) continue;
    if (!value->is_string()) co_return fail(Errc::BadJson, std::string(type) + " must be an event id");
    CO_TRY(auto event, co_await rooms_.event(room, std::string(sv(value->get_string()))));
    if (is_receipt_type(type)) moves.push_back({std::string(type), {}, std::move(event)});
    else fully_read = std::move(event);
  }
  if (fully_read) CO_TRY_DO(co_await move_fully_read(session->user_id, room, std::move(fully_read)));
  CO_TRY_DO(co_await receipts_.move(room, session->user_id, std::move(moves)));
  co_return net::Response::empty_object();
}

EphemeralApi::Answer EphemeralApi::put_typing(net::Request& req, std::string room_id, std::string user_id) {
  CO_TRY(auto session, co_await gate_.require(req, Guests::Allowed));
  if (session->user_id != user_id) co_return fail(Errc::Forbidden, "You can only type for yourself");
  CO_TRY(auto body, read_body(req));
  const auto* wanted = get(body, "typing");
  if (!wanted) co_return fail(Errc::MissingParam, "Missing: typing");
  if (!wanted->is_bool()) co_return fail(Errc::BadJson, "typing must be a boolean");
  auto timeout = kTypingDefaultMs;
  if (const auto* given = get(body, "timeout"); given && !given->is_null()) {
    const auto ms = get_int(body, "timeout");
    if (!ms || *ms < 0) co_return fail(Errc::BadJson, "timeout must be a number of milliseconds");
    timeout = std::min(*ms, kTypingMaxMs);
  }
  const bool typing = wanted->get_bool();
  CO_TRY(auto room, co_await joined_room(user_id, std::move(room_id)));
  if (typing) typing_.begin(room, std::move(user_id), std::chrono::milliseconds(timeout));
  else typing_.end(*room, user_id);
  co_return net::Response::empty_object();
}

EphemeralApi::Answer EphemeralApi::get_presence(net::Request& req, std::string user_id) {
  CO_TRY(auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(auto user, co_await users_.get(session->user_id));
  if (!presence_.share_a_room(*user, user_id)) {
    co_return fail(Errc::Forbidden, "You may see the presence of those only with whom you share a room");
  }
  co_return reply(presence_.of(user_id));
}

EphemeralApi::Answer EphemeralApi::put_presence(net::Request& req, std::string user_id) {
  CO_TRY(auto session, co_await gate_.require(req, Guests::Allowed));
  if (session->user_id != user_id) co_return fail(Errc::Forbidden, "You can only set your own presence");
  CO_TRY(auto body, read_body(req));
  CO_TRY(auto text, need_string(body, "presence"));
  const auto state = parse_presence(text);
  if (!state) co_return fail(Errc::InvalidParam, "presence must be online, unavailable or offline");
  std::optional<std::string> status;
  if (const auto* given = get(body, "status_msg"); given && !given->is_null()) {
    CO_TRY(status, need_string(body, "status_msg"));
  }
  CO_TRY_DO(co_await presence_.set(std::move(user_id), *state, std::move(status)));
  co_return net::Response::empty_object();
}

}  // namespace haechi::messenger
