#pragma once
// The index over contents that are kept elsewhere: which name at which keeper holds a content,
// and which names are being written or removed. It is in the replicated database whatever the
// keeper, so that nodes decide there who may remove what: a content that somebody has just
// uploaded again is not removed by another node's housekeeping.

#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "store/store.hpp"

namespace haechi::blob::contents {

struct Place {
  std::uint64_t bytes = 0;
  std::string keeper;
  std::string name;
  std::string segment_sums;  ///< see kSegmentBytes
};

/// Contents are checked in pieces of this size, so that a part can be shown before the rest is here.
inline constexpr std::uint64_t kSegmentBytes = 1024 * 1024;

std::optional<Place> find(store::Connection& c, const Sha256& id);
/// Notes that somebody is about to refer to it; false when there is no such content. Writes in
/// any case where there is one: a reading could be of something that no other site has yet.
bool touch(store::Connection& c, const Sha256& id, WallMs now);

/// A name that is going to be written.
void start(store::Connection& c, const Place& place, const Sha256& id, WallMs now);
/// False when the name was taken from its writer, which must give up.
bool alive(store::Connection& c, const std::string& name, WallMs now);
enum class Published { Yes, Existed, Lost };
/// The name's content is complete. Existed: another was quicker, and this name is to be removed.
Published publish(store::Connection& c, const Place& place, const Sha256& id, WallMs now);

/// Takes the content from the index where nobody refers to it and nobody has touched it since
/// `before`; its name is to be removed.
std::optional<Place> retire(store::Connection& c, const Sha256& id, WallMs before);
bool may_retire(store::Connection& c, const Sha256& id, WallMs before);
/// A damaged content is not found any more, and a new upload takes its place. False when it
/// is not kept under that name any more.
bool set_damaged(store::Connection& c, const Sha256& id, const std::string& name);

/// Names that are to be removed: retired ones, and those whose writers have not been heard of
/// since `before`. Takes them from their writers.
std::vector<Place> doomed(store::Connection& c, WallMs before, std::size_t limit);
void doom(store::Connection& c, const std::string& name);
/// After the keeper removed it.
void forget(store::Connection& c, const std::string& name);

/// Contents whose checksum begins with this byte.
std::vector<Sha256> list(store::Connection& c, std::uint8_t first_byte);

}  // namespace haechi::blob::contents
