#pragma once
// Edits, threads and references as they are bundled with the event that they
// relate to. https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "messenger/relations/ports.hpp"
#include "messenger/room/visibility.hpp"
#include "messenger/user/users.hpp"
#include "store/store.hpp"

namespace haechi::messenger {

/// What relates to one event, as far as bundles need it.
struct Family {
  struct Voice {
    std::string sender;
    std::int64_t replies = 0;
    Position latest = 0;
  };
  struct Reference {
    std::string event_id, sender;
  };
  EventPtr parent;
  EventPtr edit;                      ///< the newest valid one
  std::vector<Voice> thread;          ///< who replied
  std::vector<Reference> references;  ///< oldest first, bounded
  Position newest = 0;                ///< of everything counted here
  bool empty() const { return !edit && thread.empty() && references.empty(); }
};
using FamilyPtr = std::shared_ptr<Family>;

/// Loop thread only. Must observe the rooms before events come. Families of busy
/// events are kept and follow the events that land, so that a thread with a
/// hundred readers is read from SQL once.
class Relations final : public BundleReader, public RelationGuard, public RoomObserver {
 public:
  Relations(store::Readers& readers, Rooms& rooms, Users& users, Visibility& visibility, const Clock& clock);

  Task<Result<Bundles>> bundles(RoomPtr room, std::string user, std::vector<EventPtr> events) override;
  Task<Result<>> check(RoomPtr room, const NewEvent& event) override;

  /// Those of `events` that others relate to by one of `rel_types`, sent by one of
  /// `senders` (empty: any).
  Task<Result<std::vector<EventPtr>>> related_by(std::vector<EventPtr> events, std::vector<std::string> rel_types,
                                                 std::vector<std::string> senders);

  void on_event(Room& room, const EventPtr& event) override;
  void on_redacted(Room& room, const EventPtr& redacted) override;
  void on_unseen(const Unseen& unseen) override { forget(unseen.room_num); }

  static constexpr std::size_t kRoomsMax = 2'000;
  static constexpr std::size_t kFamiliesPerRoom = 500;
  static constexpr std::size_t kReferencesMax = 100;

 private:
  /// What is known of the room's events must be read again.
  void forget(std::int64_t room);
  struct RoomFamilies {
    std::int64_t room = 0;
    std::uint64_t changes = 0;  ///< a read that began before the newest change is not kept
    TextMap<FamilyPtr> by_parent;
  };
  using Families = TextMap<FamilyPtr>;

  RoomFamilies& of(std::int64_t room);
  Task<Result<Families>> families(RoomPtr room, std::vector<EventPtr> parents);
  /// The same as `user` sees them: who sees only a part of the room gets families that
  /// are read and judged event by event, and not kept.
  Task<Result<Families>> families_for(RoomPtr room, std::string user, std::vector<EventPtr> parents);

  store::Readers& readers_;
  Rooms& rooms_;
  Users& users_;
  Visibility& visibility_;
  const Clock& clock_;
  std::list<RoomFamilies> recent_;  ///< front: used last
  std::unordered_map<std::int64_t, std::list<RoomFamilies>::iterator> by_room_;
};

/// Whether `edit` replaces what `original` says.
bool is_valid_edit(const Event& original, const Event& edit);

}  // namespace haechi::messenger
