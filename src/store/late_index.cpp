#include "store/late_index.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>

namespace haechi::store {
namespace {

/// A row of `late_index` holds so many entries, sorted: 8 KiB.
constexpr std::size_t kPageEntries = 512;

constexpr Migration kMigrations[] = {{"store", 1, "late index", R"sql(
-- Sorted runs of (key, pos) pairs, 16 bytes each, little-endian. Key: index, segment, first pair.
CREATE TABLE late_index(
  name_id INTEGER NOT NULL, segment BIGINT NOT NULL, first_key BIGINT NOT NULL, first_pos BIGINT NOT NULL,
  entries BYTEA NOT NULL,
  PRIMARY KEY(name_id, segment, first_key, first_pos)) /*clustered*/;
-- Segments that are wholly in late_index. Key: index, segment.
CREATE TABLE late_index_segments(
  name_id INTEGER NOT NULL, segment BIGINT NOT NULL, first_pos BIGINT NOT NULL, upto BIGINT NOT NULL,
  filter BYTEA NOT NULL,
  PRIMARY KEY(name_id, segment));
)sql"}};

constexpr Sql kSegments{
    "SELECT segment, first_pos, upto, filter FROM late_index_segments WHERE name_id = $1 ORDER BY segment"};
constexpr Sql kSegment{
    "SELECT segment, first_pos, upto, filter FROM late_index_segments WHERE name_id = $1 AND segment = $2"};
constexpr Sql kAddPage{
    "INSERT INTO late_index(name_id, segment, first_key, first_pos, entries) VALUES($1, $2, $3, $4, $5)"};
constexpr Sql kAddSegment{
    "INSERT INTO late_index_segments(name_id, segment, first_pos, upto, filter) VALUES($1, $2, $3, $4, $5)"};
constexpr Sql kDropUnfinished{"DELETE FROM late_index WHERE name_id = $1 AND segment >= $2"};
constexpr Sql kDropPages{"DELETE FROM late_index WHERE name_id = $1 AND segment = $2"};
constexpr Sql kDropSegment{"DELETE FROM late_index_segments WHERE name_id = $1 AND segment = $2"};
/// The page before which (key, pos) cannot stand.
constexpr Sql kPageBefore{
    "SELECT first_key, first_pos, entries FROM late_index WHERE name_id = $1 AND segment = $2"
    " AND (first_key, first_pos) <= ($3, $4) ORDER BY first_key DESC, first_pos DESC LIMIT 1"};
constexpr Sql kPageAfter{
    "SELECT first_key, first_pos, entries FROM late_index WHERE name_id = $1 AND segment = $2"
    " AND (first_key, first_pos) > ($3, $4) ORDER BY first_key, first_pos LIMIT 1"};

static_assert(std::endian::native == std::endian::little, "entries are stored as they lie in memory");

/// A key as this file knows it: mixed, and signed as the database orders it.
std::int64_t inner_key(std::uint64_t key) { return std::bit_cast<std::int64_t>(mix_key(key)); }
constexpr std::uint64_t as_unsigned(std::int64_t key) { return std::bit_cast<std::uint64_t>(key); }

}  // namespace

/// A sealed segment. The loop thread only reads `recent`; everything else belongs
/// to the commit thread once the first slice has been handed out.
struct LateIndex::Moving {
  Recent recent;
  std::size_t count = 0;  ///< entries after these stay in the next segment
  std::int64_t number = 0;
  std::vector<Entry> sorted;
  std::size_t ready = 0;   ///< so many of `sorted` are in their place
  std::size_t bucket = 0;  ///< the first that is not
  std::array<std::size_t, 257> starts{};
  std::shared_ptr<KeyFilter> filter;

  void order(std::size_t upto);
  std::int64_t first_pos() const { return recent.entries.front().pos; }
  std::int64_t upto() const { return recent.entries[count - 1].pos; }
};

/// Sorts slice by slice, so that no batch has to wait for a whole segment.
void LateIndex::Moving::order(std::size_t upto) {
  const auto bucket_of = [](const Entry& e) { return (as_unsigned(e.key) >> 56) ^ 0x80; };
  const auto all = std::span(recent.entries).first(count);
  if (sorted.empty()) {
    for (const auto& e : all) ++starts[bucket_of(e) + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    sorted.resize(count);
    auto next = starts;
    for (const auto& e : all) sorted[next[bucket_of(e)]++] = e;
  }
  for (; ready < upto; ready = starts[++bucket]) {
    std::sort(sorted.begin() + static_cast<std::ptrdiff_t>(starts[bucket]),
              sorted.begin() + static_cast<std::ptrdiff_t>(starts[bucket + 1]));
  }
}

std::span<const Migration> LateIndex::migrations() { return kMigrations; }

LateIndex::LateIndex(int id, std::size_t segment_entries, Filters filters)
    : id_(id), segment_entries_(segment_entries), filters_(filters), stored_(std::make_shared<Segments>()) {}

void LateIndex::load(Connection& c) {
  Segments found;
  c.each(
      kSegments,
      [&](const Row& r) {
        found.push_back(
            {r.i64(0), r.i64(1), r.i64(2), std::make_shared<const KeyFilter>(KeyFilter::from_bytes(r.text(3)))});
      },
      id_);
  if (!found.empty()) {
    indexed_upto_ = found.back().upto;
    next_number_ = found.back().number + 1;
  }
  set_segments(std::move(found));
}

std::shared_ptr<const LateIndex::Segments> LateIndex::segments() const {
  const std::lock_guard lock(mutex_);
  return stored_;
}

void LateIndex::set_segments(Segments segments) {
  auto next = std::make_shared<const Segments>(std::move(segments));
  const std::lock_guard lock(mutex_);
  stored_.swap(next);
}

void LateIndex::add(std::uint64_t key, std::int64_t pos) { recent_.add({inner_key(key), pos}); }

std::vector<std::int64_t> LateIndex::find_recent(std::uint64_t key, std::int64_t to, std::size_t limit) const {
  std::vector<std::int64_t> out;
  recent_.find(inner_key(key), to, limit, out);
  if (moving_) moving_->recent.find(inner_key(key), std::min(to, moving_->upto() + 1), limit, out);
  std::ranges::reverse(out);
  return out;
}

bool LateIndex::maybe_stored(std::uint64_t key) const {
  // Only the loop thread replaces the list, and this is the loop thread.
  const auto mixed = mix_key(key);
  return std::ranges::any_of(*stored_, [&](const Segment& s) { return s.filter->maybe(mixed); });
}

std::vector<std::int64_t> LateIndex::find_stored(Connection& c, std::uint64_t key, std::int64_t from, std::int64_t to,
                                                 std::size_t limit, Order order) const {
  std::vector<std::int64_t> out;
  const auto all = segments();
  const auto mixed = mix_key(key);
  auto visit = [&](const Segment& s) {
    if (out.size() >= limit || s.upto < from || s.first_pos >= to || !s.filter->maybe(mixed)) return;
    search_segment(c, id_, s, inner_key(key), from, to, limit, order, out);
  };
  if (order == Order::Ascending) {
    for (const auto& s : *all) visit(s);
  } else {
    for (auto it = all->rbegin(); it != all->rend(); ++it) visit(*it);
  }
  return out;
}

void LateIndex::search_segment(Connection& c, int id, const Segment& segment, std::int64_t key, std::int64_t from,
                               std::int64_t to, std::size_t limit, Order order, std::vector<std::int64_t>& out) {
  Entry first{};
  std::vector<Entry> page;
  const auto take = [&](const Row& r) {
    first = {r.i64(0), r.i64(1)};
    const auto bytes = r.text(2);
    page.resize(bytes.size() / sizeof(Entry));
    if (!page.empty()) std::memcpy(page.data(), bytes.data(), page.size() * sizeof(Entry));
    return true;
  };
  const bool ascending = order == Order::Ascending;
  // Start at the page that holds the range's near end, then walk through the neighbours.
  Entry at{key, ascending ? from : to - 1};
  bool more = c.one(kPageBefore, take, id, segment.number, at.key, at.pos).has_value();
  if (!more && ascending) more = c.one(kPageAfter, take, id, segment.number, at.key, at.pos).has_value();
  while (more) {
    const auto begin = std::ranges::lower_bound(page, Entry{key, from});
    const auto end = std::ranges::lower_bound(page, Entry{key, to});
    if (ascending) {
      for (auto it = begin; it != end && out.size() < limit; ++it) out.push_back(it->pos);
      if (out.size() >= limit || end != page.end()) return;
      more = c.one(kPageAfter, take, id, segment.number, first.key, first.pos).has_value();
    } else {
      for (auto it = end; it != begin && out.size() < limit; --it) out.push_back((it - 1)->pos);
      if (out.size() >= limit || begin != page.begin()) return;
      if (first.pos == INT64_MIN) return;
      more = c.one(kPageBefore, take, id, segment.number, first.key, first.pos - 1).has_value();
    }
  }
}

void LateIndex::seal() {
  // Entries of the last position may still get company, so they stay: a segment ends between positions.
  const auto& all = recent_.entries;
  auto end = all.size();
  while (end > 0 && all[end - 1].pos == all.back().pos) --end;
  if (end == 0) return;
  auto moving = std::make_shared<Moving>();
  Recent rest;
  for (std::size_t i = end; i < all.size(); ++i) rest.add(all[i]);
  moving->recent = std::exchange(recent_, std::move(rest));
  moving->count = end;
  moving->number = next_number_++;
  moving_ = std::move(moving);
  moved_ = 0;
}

LateIndex::Slice LateIndex::next_slice(std::size_t entries) {
  if (!moving_) {
    if (!wants_flush()) return {};
    seal();
    if (!moving_) return {};
  }
  entries = std::max<std::size_t>(1, entries / kPageEntries) * kPageEntries;
  const std::size_t count = std::min(entries, moving_->count - moved_);
  return {moving_, moved_, count, moved_ + count == moving_->count};
}

void LateIndex::write_slice(Connection& c, const Slice& slice) const {
  Moving& m = *slice.segment;
  const std::size_t end = slice.first + slice.count;
  m.order(end);
  if (slice.first == 0) {
    c.exec(kDropUnfinished, id_, m.number);  // what a killed process left
    m.filter = std::make_shared<KeyFilter>(filters_ == Filters::Kept ? KeyFilter(m.count) : KeyFilter::from_bytes({}));
  }
  for (std::size_t i = slice.first; i < end; i += kPageEntries) {
    const std::size_t n = std::min(kPageEntries, end - i);
    const std::string_view bytes(reinterpret_cast<const char*>(&m.sorted[i]), n * sizeof(Entry));
    c.exec(kAddPage, id_, m.number, m.sorted[i].key, m.sorted[i].pos, Blob{bytes});
  }
  if (filters_ == Filters::Kept) {
    for (std::size_t i = slice.first; i < end; ++i) m.filter->add(as_unsigned(m.sorted[i].key));
  }
  if (!slice.last) return;
  const auto filter = m.filter->bytes();
  c.exec(kAddSegment, id_, m.number, m.first_pos(), m.upto(), Blob{filter});
}

void LateIndex::slice_done(const Slice& slice) {
  moved_ = slice.first + slice.count;
  if (!slice.last) return;
  const Moving& m = *slice.segment;
  Segments next = *stored_;
  next.push_back({m.number, m.first_pos(), m.upto(), m.filter});
  indexed_upto_ = next.back().upto;
  set_segments(std::move(next));
  moving_.reset();
}

std::optional<std::int64_t> LateIndex::prunable(std::int64_t pos) const {
  if (stored_->size() < 2 || stored_->front().upto >= pos) return std::nullopt;
  return stored_->front().number;
}

void LateIndex::prune(Connection& c, std::int64_t segment) const {
  c.exec(kDropSegment, id_, segment);
  c.exec(kDropPages, id_, segment);
}

void LateIndex::pruned(std::int64_t segment) {
  Segments next = *stored_;
  std::erase_if(next, [&](const Segment& s) { return s.number == segment; });
  set_segments(std::move(next));
}

std::size_t LateIndex::memory_entries() const { return recent_.entries.size() + (moving_ ? moving_->count : 0); }

std::int64_t LateIndex::number_of(const Slice& slice) const { return slice.segment->number; }

std::shared_ptr<const LateIndex::Moved> LateIndex::read_moved(Connection& c, std::int64_t number) const {
  const auto found = c.one(
      kSegment,
      [](const Row& r) {
        return Segment{r.i64(0), r.i64(1), r.i64(2),
                       std::make_shared<const KeyFilter>(KeyFilter::from_bytes(r.text(3)))};
      },
      id_, number);
  return found ? std::make_shared<const Moved>(*found) : nullptr;
}

void LateIndex::adopt(const Moved& moved) {
  const Segment& segment = moved.segment;
  if (segment.number < next_number_ && !(moving_ && moving_->number == segment.number)) return;  // known
  Recent rest;
  const auto keep = [&](const Entry& e) {
    if (e.pos > segment.upto) rest.add(e);
  };
  if (moving_) std::ranges::for_each(std::span(moving_->recent.entries).first(moving_->count), keep);
  std::ranges::for_each(recent_.entries, keep);
  recent_ = std::move(rest);
  moving_.reset();
  moved_ = 0;
  Segments next = *stored_;
  next.push_back(segment);
  set_segments(std::move(next));
  indexed_upto_ = segment.upto;
  next_number_ = segment.number + 1;
}

// The memory part.

std::size_t LateIndex::Recent::slot_of(std::int64_t key) const {
  const std::size_t mask = newest.size() - 1;
  std::size_t slot = as_unsigned(key) & mask;
  while (newest[slot] != 0 && entries[newest[slot] - 1].key != key) slot = (slot + 1) & mask;
  return slot;
}

void LateIndex::Recent::grow() {
  newest.assign(std::max<std::size_t>(1024, newest.size() * 2), 0);
  for (std::size_t i = 0; i < entries.size(); ++i) newest[slot_of(entries[i].key)] = static_cast<std::uint32_t>(i + 1);
}

void LateIndex::Recent::add(Entry e) {
  if (entries.size() * 2 >= newest.size()) grow();
  const std::size_t slot = slot_of(e.key);
  earlier.push_back(newest[slot]);
  entries.push_back(e);
  newest[slot] = static_cast<std::uint32_t>(entries.size());
}

void LateIndex::Recent::find(std::int64_t key, std::int64_t to, std::size_t limit,
                             std::vector<std::int64_t>& descending) const {
  if (newest.empty()) return;
  for (std::uint32_t at = newest[slot_of(key)]; at != 0 && descending.size() < limit; at = earlier[at - 1]) {
    if (entries[at - 1].pos < to) descending.push_back(entries[at - 1].pos);
  }
}

}  // namespace haechi::store
