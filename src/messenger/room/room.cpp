#include "messenger/room/room.hpp"

#include <algorithm>

namespace haechi::messenger {
namespace {
const Room::StateByKey kNoMembers;
constexpr std::string_view kMember = "m.room.member";
}  // namespace

const Event* Room::state(std::string_view type, std::string_view key) const {
  const auto t = state_.find(type);
  if (t == state_.end()) return nullptr;
  const auto k = t->second.find(key);
  return k == t->second.end() ? nullptr : k->second.get();
}

EventPtr Room::state_ptr(std::string_view type, std::string_view key) const {
  const auto t = state_.find(type);
  if (t == state_.end()) return nullptr;
  const auto k = t->second.find(key);
  return k == t->second.end() ? nullptr : k->second;
}

Membership Room::membership(std::string_view user) const {
  const Event* e = state(kMember, user);
  return e ? membership_of(e->membership()) : Membership::None;
}

const Room::StateByKey& Room::members() const {
  const auto t = state_.find(kMember);
  return t == state_.end() ? kNoMembers : t->second;
}

PowerLevels Room::power_levels() const {
  const Event* levels = state("m.room.power_levels");
  const Event* create = state("m.room.create");
  return PowerLevels(version, levels ? &levels->object() : nullptr, create ? &create->object() : nullptr,
                     create ? std::string_view(create->sender) : std::string_view{});
}

std::string_view Room::creator() const {
  const Event* create = state("m.room.create");
  return create ? std::string_view(create->sender) : std::string_view{};
}

EventPtr Room::head_state(std::string_view type, std::string_view key) const {
  for (auto it = flight_.rbegin(); it != flight_.rend(); ++it) {
    if ((*it)->is_state(type, key)) return *it;
  }
  return state_ptr(type, key);
}

Membership Room::head_membership(std::string_view user) const {
  const auto e = head_state(kMember, user);
  return e ? membership_of(e->membership()) : Membership::None;
}

std::size_t Room::head_joined_count() const {
  std::size_t n = joined_count_;
  for (std::size_t i = 0; i < flight_.size(); ++i) {
    const auto& e = flight_[i];
    if (e->type != kMember || !e->state_key) continue;
    Membership before = membership(*e->state_key);
    for (std::size_t j = 0; j < i; ++j) {
      if (flight_[j]->is_state(kMember, *e->state_key)) before = membership_of(flight_[j]->membership());
    }
    const bool was = before == Membership::Join;
    const bool is = e->membership() == "join";
    if (is && !was) ++n;
    if (was && !is) --n;
  }
  return n;
}

void Room::set_state(const EventPtr& e) {
  auto& by_key = state_[e->type];
  auto& slot = by_key[*e->state_key];
  if (e->type == kMember) {
    const auto before = slot ? membership_of(slot->membership()) : Membership::None;
    const auto after = membership_of(e->membership());
    joined_count_ += after == Membership::Join ? 1u : 0u;
    joined_count_ -= before == Membership::Join ? 1u : 0u;
    invited_count_ += after == Membership::Invite ? 1u : 0u;
    invited_count_ -= before == Membership::Invite ? 1u : 0u;
  }
  slot = e;
  last_state_pos_ = std::max(last_state_pos_, e->pos);
}

void Room::land(const std::shared_ptr<Event>& e) {
  // Landings come in the order of take-off; an event of another node has no flight here.
  if (const auto it = std::ranges::find(flight_, e); it != flight_.end()) flight_.erase(it);
  if (e->is_state()) set_state(e);
  if (timeline_.empty()) timeline_from_ = timeline_from_ == 0 ? e->pos : timeline_from_;
  timeline_.push_back(e);
  last_pos_ = e->pos;
  last_event_id_ = e->event_id;
  last_depth_ = std::max(last_depth_, e->depth);  // another node's may have been deeper
  while (timeline_.size() > kTimelineMax) {
    timeline_from_ = timeline_.front()->pos + 1;
    timeline_.pop_front();
  }
}

EventPtr Room::recent_at(Position pos) const {
  const auto it = std::ranges::lower_bound(timeline_, pos, {}, [](const EventPtr& e) { return e->pos; });
  return it != timeline_.end() && (*it)->pos == pos ? *it : nullptr;
}

void Room::replace(const EventPtr& redacted) {
  const auto it = std::ranges::lower_bound(timeline_, redacted->pos, {}, [](const EventPtr& e) { return e->pos; });
  if (it != timeline_.end() && (*it)->pos == redacted->pos) *it = redacted;
  if (!redacted->is_state()) return;
  const auto t = state_.find(redacted->type);
  if (t == state_.end()) return;
  const auto k = t->second.find(*redacted->state_key);
  if (k == t->second.end() || k->second->event_id != redacted->event_id) return;
  const auto newest = last_state_pos_;
  set_state(redacted);
  last_state_pos_ = newest;
}

void Room::load_state(std::vector<EventPtr> state) {
  for (const auto& e : state) set_state(e);
}

void Room::load_timeline(std::vector<EventPtr> events, Position from) {
  timeline_.assign(events.begin(), events.end());
  timeline_from_ = from;
  if (timeline_.empty()) return;
  last_pos_ = timeline_.back()->pos;
  last_event_id_ = timeline_.back()->event_id;
  last_depth_ = timeline_.back()->depth;
}

void Room::add_online(UserState& u) {
  if (std::ranges::find(online, &u) == online.end()) online.push_back(&u);
}

void Room::remove_online(UserState& u) {
  const auto it = std::ranges::find(online, &u);
  if (it == online.end()) return;
  *it = online.back();
  online.pop_back();
}

}  // namespace haechi::messenger
