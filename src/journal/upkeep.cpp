#include "journal/upkeep.hpp"

#include "base/text.hpp"

namespace haechi::journal {
namespace {

constexpr std::int64_t kTrimRows = 2'000;
constexpr Duration kLease = std::chrono::seconds(10);
constexpr Position kMarksKept = 100'000;
constexpr WallMs kNodesRememberedMs = 7ll * 24 * 3'600'000;

}  // namespace

void Upkeep::load(store::Connection& c, repo::Head head) {
  first_command_ = repo::command_bounds(c).first;
  first_feed_ = repo::first_feed(c).value_or(head.pos);
  marks_trimmed_ = head.pos;
}

bool Upkeep::mine(Tx& tx) const {
  return !shared_ || repo::hold_keeper(tx.sql(), options_.node_id, clock_.wall_ms(), kLease);
}

void Upkeep::announce(Tx& tx, const store::LateIndex& index, std::int64_t segment) const {
  if (shared_) tx.append(kIndexSegment, std::to_string(index.id()), std::to_string(segment));
}

std::optional<Upkeep::Chore> Upkeep::next(Position position, std::int64_t commands) {
  for (auto* index : indexes_) {
    if (auto slice = index->next_slice()) {
      return Chore{[this, index, slice, position](Tx& tx) {
                     // Another node may have moved the same entries meanwhile.
                     if (!mine(tx) || (shared_ && shared_->stale({-index->id(), position}))) return false;
                     index->write_slice(tx.sql(), slice);
                     if (slice.last) announce(tx, *index, index->number_of(slice));
                     return true;
                   },
                   [index, slice] { index->slice_done(slice); }};
    }
  }
  const auto commands_kept = static_cast<std::int64_t>(options_.keys_remembered_min);
  if (const auto below = first_command_ + kTrimRows; below <= commands - commands_kept) {
    return Chore{[this, below](Tx& tx) { return mine(tx) && (repo::trim_commands(tx.sql(), below), true); },
                 [this, below] { first_command_ = below; }};
  }
  auto& index = keys_.index();
  if (const auto segment = index.prunable(first_command_)) {
    return Chore{[this, &index, segment](Tx& tx) {
                   if (!mine(tx)) return false;
                   index.prune(tx.sql(), *segment);
                   announce(tx, index, *segment);
                   return true;
                 },
                 [&index, segment] { index.pruned(*segment); }};
  }
  const auto feed_kept = static_cast<Position>(options_.feed_rows_kept);
  if (const auto below = first_feed_ + kTrimRows; below <= position - feed_kept) {
    return Chore{[this, below](Tx& tx) { return mine(tx) && (repo::trim_feed(tx.sql(), below), true); },
                 [this, below] { first_feed_ = below; }};
  }
  if (const auto below = position - kMarksKept; shared_ && below > marks_trimmed_ + kMarksKept) {
    return Chore{[this, below](Tx& tx) {
                   if (!mine(tx)) return false;
                   repo::trim_marks(tx.sql(), below);
                   repo::forget_nodes(tx.sql(), tx.wall_ms() - kNodesRememberedMs);
                   return true;
                 },
                 [this, below] { marks_trimmed_ = below; }};
  }
  return std::nullopt;
}

void Upkeep::follow(const Entry& entry) {
  const auto* moved = dynamic_cast<const SegmentMoved*>(entry.local.get());
  const auto number = parse_int(entry.data);
  if (!moved || !number) return;
  for (auto* index : indexes_) {
    if (-index->id() != entry.topic) continue;
    if (moved->segment) index->adopt(*moved->segment);
    else index->pruned(*number);
  }
}

}  // namespace haechi::journal
