#include "messenger/relations/repo.hpp"

#include <algorithm>

#include "messenger/room/repo.hpp"

namespace haechi::messenger::repo {
namespace {

using store::Row;
using store::Sql;

constexpr Sql kFamily{
    "SELECT pos, rel_type, type, sender FROM relations WHERE parent_id = $1 AND room_num = $2 ORDER BY pos"};
constexpr Sql kEventId{"SELECT event_id FROM events WHERE pos = $1"};
constexpr Sql kAnnotation{
    "SELECT 1 FROM relations WHERE parent_id = $1 AND rel_type = 'm.annotation' AND type = $2 AND sender = $3 "
    "AND relation_key = $4 LIMIT 1"};
constexpr Sql kRelatedBy{"SELECT rel_type, sender FROM relations WHERE parent_id = $1 GROUP BY rel_type, sender"};
constexpr Sql kChildrenDown{
    "SELECT pos FROM relations WHERE parent_id = $1 AND pos >= $2 AND pos < $3 AND room_num = $4 "
    "AND ($5 = '' OR rel_type = $5) AND ($6 = '' OR type = $6) ORDER BY pos DESC LIMIT $7"};
constexpr Sql kChildrenUp{
    "SELECT pos FROM relations WHERE parent_id = $1 AND pos >= $2 AND pos < $3 AND room_num = $4 "
    "AND ($5 = '' OR rel_type = $5) AND ($6 = '' OR type = $6) ORDER BY pos LIMIT $7"};
constexpr Sql kChildIds{
    "SELECT r.pos, r.rel_type, r.type, e.event_id FROM relations r JOIN events e ON e.pos = r.pos "
    "WHERE r.parent_id = $1 AND r.room_num = $2 ORDER BY r.pos DESC LIMIT $3"};
constexpr Sql kThreads{
    "SELECT root_id, latest_pos FROM threads WHERE room_num = $1 AND latest_pos < $2 "
    "ORDER BY latest_pos DESC LIMIT $3"};
constexpr Sql kReplied{
    "SELECT 1 FROM relations WHERE parent_id = $1 AND rel_type = 'm.thread' AND sender = $2 LIMIT 1"};

}  // namespace

Family read_family(Connection& c, const EventPtr& parent, const ChildSeen& seen) {
  Family f;
  f.parent = parent;
  std::vector<Position> edits;
  std::vector<std::pair<Position, std::string>> references;
  TextMap<std::size_t> voices;
  c.each(
      kFamily,
      [&](const Row& r) {
        const Position pos = r.i64(0);
        f.newest = pos;
        if (seen && !seen(pos)) return;
        const auto rel_type = r.text(1);
        if (rel_type == "m.thread") {
          const auto [it, added] = voices.try_emplace(r.str(3), f.thread.size());
          if (added) f.thread.push_back({.sender = it->first});
          auto& voice = f.thread[it->second];
          ++voice.replies;
          voice.latest = pos;
        } else if (rel_type == "m.replace") {
          if (r.text(2) == parent->type && r.text(3) == parent->sender) edits.push_back(pos);
        } else if (rel_type == "m.reference") {
          if (references.size() < Relations::kReferencesMax) references.emplace_back(pos, r.str(3));
        }
      },
      parent->event_id, parent->room_num);

  for (auto& [pos, sender] : references) {
    if (auto id = c.one(kEventId, [](const Row& r) { return r.str(0); }, pos)) {
      f.references.push_back({*std::move(id), std::move(sender)});
    }
  }
  // Nearly always the newest is valid; somebody who writes invalid ones on purpose must not cost much.
  constexpr std::size_t kTried = 20;
  for (std::size_t i = 0; i < std::min(kTried, edits.size()) && !f.edit; ++i) {
    auto edit = event_at(c, edits[edits.size() - 1 - i]);
    if (edit && is_valid_edit(*parent, *edit)) f.edit = std::move(edit);
  }
  return f;
}

bool has_annotation(Connection& c, std::string_view parent_id, std::string_view type, std::string_view sender,
                    std::string_view key) {
  return c.one_i64(kAnnotation, parent_id, type, sender, key).has_value();
}

bool has_relation(Connection& c, std::string_view parent_id, const std::vector<std::string>& rel_types,
                  const std::vector<std::string>& senders) {
  const auto has = [](const std::vector<std::string>& list, std::string_view text) {
    return list.empty() || std::ranges::find(list, text) != list.end();
  };
  bool found = false;
  c.each(kRelatedBy, [&](const Row& r) { found |= has(rel_types, r.text(0)) && has(senders, r.text(1)); }, parent_id);
  return found;
}

std::vector<Position> children(Connection& c, std::int64_t room, std::string_view parent_id, const Kind& kind,
                               Position from, Position to, std::size_t limit, Direction dir) {
  return c.all(
      dir == Direction::Backward ? kChildrenDown : kChildrenUp, [](const Row& r) { return r.i64(0); }, parent_id, from,
      to, room, kind.rel_type, kind.event_type, limit);
}

std::vector<Position> descendants(Connection& c, std::int64_t room, const std::string& parent_id, const Kind& kind,
                                  std::size_t depth_max, std::size_t rows_max) {
  std::vector<Position> out;
  TextSet known{parent_id};
  std::vector<std::string> level{parent_id};
  for (std::size_t depth = 0; depth < depth_max && !level.empty(); ++depth) {
    std::vector<std::string> next;
    for (const auto& id : level) {
      if (known.size() >= rows_max) break;
      c.each(
          kChildIds,
          [&](const Row& r) {
            if (!known.emplace(r.text(3)).second) return;
            next.push_back(r.str(3));
            if (!kind.rel_type.empty() && r.text(1) != kind.rel_type) return;
            if (!kind.event_type.empty() && r.text(2) != kind.event_type) return;
            out.push_back(r.i64(0));
          },
          id, room, rows_max - known.size());
    }
    level = std::move(next);
  }
  std::ranges::sort(out);
  return out;
}

std::vector<ThreadRow> threads(Connection& c, std::int64_t room, Position before, std::size_t limit) {
  return c.all(kThreads, [](const Row& r) { return ThreadRow{r.str(0), r.i64(1)}; }, room, before, limit);
}

bool replied(Connection& c, std::string_view root_id, std::string_view user) {
  return c.one_i64(kReplied, root_id, user).has_value();
}

}  // namespace haechi::messenger::repo
