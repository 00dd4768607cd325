#pragma once
#include "base/random.hpp"
#include "messenger/directory/directory.hpp"
#include "messenger/room/writer.hpp"
#include "messenger/rooms/preset.hpp"

namespace haechi::messenger {

/// Makes rooms. Everything that a request asks for becomes durable in one command, or nothing does.
class RoomCreator {
 public:
  RoomCreator(Writer& writer, Directory& directory, ProfileReader& profiles, Random& random, const Clock& clock,
              std::string server_name, std::string default_version)
      : writer_(writer),
        directory_(directory),
        profiles_(profiles),
        random_(random),
        clock_(clock),
        server_name_(std::move(server_name)),
        default_version_(std::move(default_version)) {}

  Result<RoomPlan> plan(const json::object& body, std::string_view creator) const {
    return plan_room(body, creator, server_name_, default_version_);
  }
  /// `device` as in NewEvent. Errc::RoomInUse when the alias is taken; EventErrc for what the rules refuse.
  Task<Result<RoomPtr>> create(RoomPlan plan, std::string creator, std::string device);
  /// The events as they are (upgrades build their own); events[0] is m.room.create.
  Task<Result<RoomPtr>> create_from(const RoomVersion& version, std::vector<PlannedEvent> events, std::string creator,
                                    std::string device, std::function<ExtraRows(const Room&)> extra);

 private:
  Writer& writer_;
  Directory& directory_;
  ProfileReader& profiles_;
  Random& random_;
  const Clock& clock_;
  std::string server_name_;
  std::string default_version_;
};

}  // namespace haechi::messenger
