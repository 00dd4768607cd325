#include "messenger/rooms/creator.hpp"

#include "messenger/errc.hpp"
#include "messenger/event/event_errc.hpp"

namespace haechi::messenger {

Task<Result<RoomPtr>> RoomCreator::create(RoomPlan plan, std::string creator, std::string device) {
  if (plan.alias) {
    // Asked again in the transaction; here it spares the work.
    CO_TRY(const auto taken, co_await directory_.lookup(*plan.alias));
    if (taken) co_return fail(Errc::RoomInUse, "The alias " + *plan.alias + " is already taken");
  }
  CO_TRY(const auto own, co_await profiles_.get(creator));
  std::vector<Profile> invited;
  for (const auto& user : plan.invite) {
    CO_TRY(auto profile, co_await profiles_.get(user));
    invited.push_back(std::move(profile));
  }
  auto events = room_events(plan, creator, own, invited);

  std::function<ExtraRows(const Room&)> extra;
  if (plan.alias || plan.published) {
    extra = [alias = plan.alias, published = plan.published, creator,
             now = clock_.wall_ms()](const Room& room) -> ExtraRows {
      return [alias, published, creator, now, num = room.num, id = room.id](journal::Tx& tx) -> Result<> {
        if (alias) TRY_DO(Directory::add_alias(tx, *alias, num, id, creator, now));
        if (published) Directory::set_published(tx, num, id, true);
        return {};
      };
    };
  }
  auto made =
      co_await create_from(*plan.version, std::move(events), std::move(creator), std::move(device), std::move(extra));
  if (!made && made.error().is(EventErrc::Forbidden)) {
    // Only what the request itself asked for can break the rules of a new room.
    co_return fail(Errc::InvalidRoomState, std::move(made.error().message));
  }
  co_return made;
}

Task<Result<RoomPtr>> RoomCreator::create_from(const RoomVersion& version, std::vector<PlannedEvent> events,
                                               std::string creator, std::string device,
                                               std::function<ExtraRows(const Room&)> extra) {
  std::vector<NewEvent> news;
  news.reserve(events.size());
  for (auto& e : events) {
    news.push_back({.sender = creator,
                    .type = std::move(e.type),
                    .state_key = std::move(e.state_key),
                    .content = std::move(e.content),
                    .device = device,
                    .txn_id = {},
                    .redact_target = nullptr,
                    .ts = std::nullopt});
  }
  std::string room_id;
  if (!version.room_id_is_hash) room_id = "!" + random_.text(18) + ":" + server_name_;
  co_return co_await writer_.create_room(version, std::move(room_id), std::move(news), std::move(extra));
}

}  // namespace haechi::messenger
