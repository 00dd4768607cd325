#include "blob/contents.hpp"

#include "blob/types.hpp"

namespace haechi::blob::contents {
namespace {

constexpr WallMs kDoomed = -1;  ///< in touched_ms of a name that its writer has lost

constexpr store::Sql kFind{
    "SELECT bytes, keeper, name, segment_sums FROM blob_contents WHERE sha256 = $1 AND damaged = 0"};
constexpr store::Sql kTouch{"UPDATE blob_contents SET touched_ms = $2 WHERE sha256 = $1 AND damaged = 0"};

constexpr store::Sql kStart{
    "INSERT INTO blob_names (name, keeper, sha256, touched_ms) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (name) DO UPDATE SET touched_ms = excluded.touched_ms"};
constexpr store::Sql kAlive{"UPDATE blob_names SET touched_ms = $2 WHERE name = $1 AND touched_ms >= 0"};

constexpr store::Sql kTakeDamaged{"DELETE FROM blob_contents WHERE sha256 = $1 AND damaged = 1 RETURNING keeper, name"};
constexpr store::Sql kPublish{
    "INSERT INTO blob_contents (sha256, bytes, keeper, name, segment_sums, touched_ms, damaged) "
    "VALUES ($1, $2, $3, $4, $5, $6, 0) "
    "ON CONFLICT (sha256) DO UPDATE SET touched_ms = excluded.touched_ms RETURNING name"};
constexpr store::Sql kNameOf{"SELECT name FROM blob_contents WHERE sha256 = $1"};
constexpr store::Sql kForget{"DELETE FROM blob_names WHERE name = $1"};

// What refers to contents are the rows of `blobs`; one that is about to come has touched first.
constexpr store::Sql kRetire{
    "DELETE FROM blob_contents WHERE sha256 = $1 AND touched_ms < $2 "
    "AND NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.sha256 = $1) RETURNING bytes, keeper, name, segment_sums"};
constexpr store::Sql kMayRetire{"SELECT 1 FROM blob_contents WHERE sha256 = $1 AND touched_ms >= $2"};
constexpr store::Sql kSetDamaged{"UPDATE blob_contents SET damaged = 1 WHERE sha256 = $1 AND name = $2"};

// In one order on every node: they lock these rows.
constexpr store::Sql kUnheard{
    "SELECT name, keeper FROM blob_names WHERE touched_ms < $1 ORDER BY touched_ms, name LIMIT $2"};
constexpr store::Sql kDoom{"UPDATE blob_names SET touched_ms = -1 WHERE name = $1"};
constexpr store::Sql kDoomOld{"UPDATE blob_names SET touched_ms = -1 WHERE name = $1 AND touched_ms < $2"};

constexpr store::Sql kList{"SELECT sha256 FROM blob_contents WHERE sha256 >= $1 AND sha256 < $2"};

Place read_place(const store::Row& r) {
  return {
      .bytes = static_cast<std::uint64_t>(r.i64(0)), .keeper = r.str(1), .name = r.str(2), .segment_sums = r.str(3)};
}

}  // namespace

std::optional<Place> find(store::Connection& c, const Sha256& id) { return c.one(kFind, read_place, to_hex(id)); }

bool touch(store::Connection& c, const Sha256& id, WallMs now) { return c.exec(kTouch, to_hex(id), now) > 0; }

void start(store::Connection& c, const Place& place, const Sha256& id, WallMs now) {
  c.exec(kStart, place.name, place.keeper, to_hex(id), now);
}

bool alive(store::Connection& c, const std::string& name, WallMs now) { return c.exec(kAlive, name, now) > 0; }

Published publish(store::Connection& c, const Place& place, const Sha256& id, WallMs now) {
  const auto hex = to_hex(id);
  if (!alive(c, place.name, now)) {
    // Perhaps because this is the second run of a publication whose first one was committed.
    const auto there = c.one(kNameOf, [](const store::Row& r) { return r.str(0); }, hex);
    if (there != place.name) return Published::Lost;
    touch(c, id, now);
    return Published::Yes;
  }
  c.each(
      kTakeDamaged,
      [&](const store::Row& r) {
        const Place damaged{.keeper = r.str(0), .name = r.str(1)};
        start(c, damaged, id, kDoomed);
      },
      hex);
  const auto name = c.one(
      kPublish, [](const store::Row& r) { return r.str(0); }, hex, place.bytes, place.keeper, place.name,
      store::Blob{place.segment_sums}, now);
  if (name != place.name) {
    doom(c, place.name);
    return Published::Existed;
  }
  forget(c, place.name);
  return Published::Yes;
}

std::optional<Place> retire(store::Connection& c, const Sha256& id, WallMs before) {
  auto place = c.one(kRetire, read_place, to_hex(id), before);
  if (place) start(c, *place, id, kDoomed);
  return place;
}

bool may_retire(store::Connection& c, const Sha256& id, WallMs before) {
  return !c.one_i64(kMayRetire, to_hex(id), before);
}

bool set_damaged(store::Connection& c, const Sha256& id, const std::string& name) {
  return c.exec(kSetDamaged, to_hex(id), name) > 0;
}

std::vector<Place> doomed(store::Connection& c, WallMs before, std::size_t limit) {
  auto places =
      c.all(kUnheard, [](const store::Row& r) { return Place{.keeper = r.str(1), .name = r.str(0)}; }, before, limit);
  // Whoever writes it notices at its next step; one that was heard of meanwhile keeps it.
  std::erase_if(places, [&](const Place& p) { return c.exec(kDoomOld, p.name, before) == 0; });
  return places;
}

void doom(store::Connection& c, const std::string& name) { c.exec(kDoom, name); }
void forget(store::Connection& c, const std::string& name) { c.exec(kForget, name); }

std::vector<Sha256> list(store::Connection& c, std::uint8_t first_byte) {
  Sha256 first{};
  first[0] = first_byte;
  const auto from = to_hex(first).substr(0, 2);
  const auto to = first_byte == 0xff ? std::string("g") : [&] {
    first[0] = static_cast<std::uint8_t>(first_byte + 1);
    return to_hex(first).substr(0, 2);
  }();
  std::vector<Sha256> out;
  c.each(
      kList,
      [&](const store::Row& r) {
        if (const auto id = sha256_from_hex(r.text(0))) out.push_back(*id);
      },
      from, to);
  return out;
}

}  // namespace haechi::blob::contents
