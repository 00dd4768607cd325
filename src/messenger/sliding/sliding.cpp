#include "messenger/sliding/sliding.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/sliding/pass.hpp"

namespace haechi::messenger {
namespace {
constexpr auto kFreshPatience = std::chrono::milliseconds(300);
}

SlidingSync::SlidingSync(Loop& loop, Rooms& rooms, Users& users, Visibility& visibility, journal::Journal& journal,
                         SyncSources sources)
    : loop_(loop), rooms_(rooms), users_(users), visibility_(visibility), journal_(journal), sources_(sources) {}

Task<Result<std::string>> SlidingSync::sync(SlidingSyncRequest request, Canceller* canceller) {
  const auto session = request.session;
  if (journal_.shared()) (void)co_await journal_.fresh(kFreshPatience);
  CO_TRY(auto user, co_await users_.get(session->user_id));
  sources_.presence.seen(session->user_id, request.set_presence, session->device_id);
  const Instant deadline = loop_.now() + request.timeout;

  Pass pass{.request = request, .user = user, .device = device_key(*session)};
  auto connection = connections_.find(pass.device, request.body.conn_id);
  if (request.pos.empty()) {
    if (!connection) connection = connections_.make(pass.device, request.body.conn_id);
    connection->restart();
  } else {
    const auto since = sliding::parse_pos(request.pos);
    if (!since || !connection || !connection->resume(request.pos)) {
      co_return fail(Errc::UnknownPos, "This connection is not known any more; begin a new one without pos");
    }
    pass.initial = false;
    pass.since = *since;
    pass.since.pos = std::min(pass.since.pos, journal_.position());
  }
  pass.connection = connection;
  const auto ticket = pass.ticket = ++connection->requests;
  const auto& extensions = request.body.extensions;
  if (extensions.to_device && extensions.to_device_since > 0) {
    sources_.to_device.delivered(user, session->device_id, std::min(extensions.to_device_since, journal_.position()));
  }

  UserState::Parked parked(*user);
  while (true) {
    parked.waiter.reset();
    user->last_used = loop_.now();
    pass.reset();
    pass.now = {.pos = journal_.position(), .stamp = std::max(users_.last_stamp(), pass.since.stamp), .to_device = 0};
    pass.now.to_device = pass.now.pos;
    pass.wall_ms = loop_.clock().wall_ms();
    CO_TRY(const bool any, co_await build(pass));
    // A newer request on the same connection decides what was sent.
    if (connection->requests != ticket) break;
    if (any || pass.initial) break;
    if (loop_.now() >= deadline || (canceller && canceller->cancelled())) break;
    const auto why = co_await parked.waiter.wait(deadline, canceller);
    if (connection->requests != ticket || why == Wake::Cancelled) break;
    if (why == Wake::Deadline && user->last_pos <= pass.now.pos) break;
  }
  if (connection->requests != ticket) {
    pass.reset();
    co_return answer(pass, request.pos);
  }
  connection->pending.clear();
  for (auto& [num, now] : pass.changed) connection->pending.emplace(num, std::move(now));
  connection->last = sliding::pos_text(++connection->counter, pass.now);
  connection->view.settled = true;
  co_return answer(pass, connection->last);
}

std::string SlidingSync::answer(const Pass& pass, std::string_view pos) const {
  std::string out = "{\"pos\":";
  append_json_string(out, pos);
  out += ",\"lists\":{";
  for (const auto& [name, count] : pass.connection->view.counts) {
    comma(out);
    append_json_string(out, name);
    fmt::format_to(std::back_inserter(out), ":{{\"count\":{}}}", count);
  }
  out += "},\"rooms\":{" + pass.rooms + "},\"extensions\":{" + pass.extensions + "}}";
  return out;
}

Task<Result<bool>> SlidingSync::build(Pass& pass) {
  CO_TRY_DO(co_await refresh_view(pass));
  CO_TRY_DO(co_await rooms_section(pass));
  CO_TRY_DO(co_await this->extensions(pass));
  co_return pass.anything;
}

Task<Result<>> SlidingSync::rooms_section(Pass& pass) {
  if (pass.connection->view.settled) co_return {};
  // A copy: another request may replace the view during a wait.
  const auto rooms = pass.connection->view.rooms;
  for (const auto& [num, seen] : rooms) {
    const auto ref = pass.user->rooms.find(num);
    auto room = rooms_.find(num);
    if (ref == pass.user->rooms.end() || !room) continue;
    const bool touched = pass.all_touched || pass.touched.contains(room->id);
    CO_TRY_DO(co_await room_block(pass, std::move(room), ref->second, seen.config, touched));
  }
  co_return {};
}

}  // namespace haechi::messenger
