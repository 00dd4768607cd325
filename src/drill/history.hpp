#pragma once
// What the clients of a drill did and saw: the only evidence the judgement rests on.
// Recorded on the load's thread; plain data afterwards.

#include <cstdint>
#include <deque>
#include <iosfwd>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "drill/run.hpp"

namespace haechi::drill {

inline constexpr Nanos kNever = INT64_MAX;

/// A text kept once; events and their ids come again and again.
using Ref = std::uint32_t;
inline constexpr Ref kNoRef = UINT32_MAX;

class Texts {
 public:
  Ref add(std::string_view text);
  std::string_view operator[](Ref ref) const { return ref < texts_.size() ? std::string_view(texts_[ref]) : ""; }
  std::size_t size() const { return texts_.size(); }

 private:
  std::deque<std::string> texts_;  // never moves its strings, so the index may point into them
  std::unordered_map<std::string_view, Ref> index_;
};

enum class Kind : std::uint8_t {
  Send,       ///< a message; `number` is in its body, `result` is the event id
  Resend,     ///< an acknowledged send sent once more: must get the same event id
  ReadEvent,  ///< an acknowledged message asked for through another node
  Upload,     ///< media under a link made before; `result` is the link
  Download,   ///< acknowledged media; `number` is the upload's
  Write,      ///< account data; `number` is the version written
  Read,       ///< account data; `number` is the version found, 0 for none
  Receipt,
  Typing,
  Sync,
  Setup,
};
enum class Outcome : std::uint8_t {
  Unknown,  ///< never answered: it may have happened or not
  Ok,
  Failed,  ///< refused for good
};
std::string_view name_of(Kind kind);
std::string_view name_of(Outcome outcome);

struct Operation {
  Nanos start = 0;     ///< first attempt
  Nanos end = kNever;  ///< the answer that counted, or when the client gave up
  Nanos intended = 0;  ///< when it was to be sent, where a rate was asked for: latency counts from here
  std::uint64_t number = 0;
  std::uint32_t client = 0;
  std::uint32_t node = 0;  ///< that answered last
  std::uint32_t room = 0;
  Ref result = kNoRef;
  std::uint16_t status = 0;
  std::uint16_t attempts = 1;
  Kind kind = Kind::Send;
  Outcome outcome = Outcome::Unknown;
  bool final = false;      ///< part of the reading after everything healed
  bool different = false;  ///< content came that is not what was acknowledged
};

/// A message in a receiver's timeline.
struct Seen {
  Nanos at = 0;
  std::uint64_t number = 0;
  std::uint32_t client = 0;
  std::uint32_t node = 0;
  std::uint32_t room = 0;
  Ref event = kNoRef;
  bool after_gap = false;  ///< first of a timeline that the server marked as limited
};

/// One answered sync: positions are those in the tokens, -1 where a token holds none.
struct SyncStep {
  Nanos at = 0;
  std::int64_t from = -1;
  std::int64_t to = -1;
  std::uint32_t client = 0;
  std::uint32_t node = 0;
};

struct FinalEvent {
  Ref event = kNoRef;
  std::uint64_t number = 0;  ///< 0: not a message of the load
};
/// All of a room as one site tells it after healing, oldest first.
struct FinalRoom {
  std::uint32_t room = 0;
  std::uint32_t node = 0;
  std::vector<FinalEvent> events;
};

enum class What : std::uint8_t {
  Status,   ///< an answer of 400 or more
  Content,  ///< an answer of success without what it must carry
  Refused,  ///< no connection
  Broken,   ///< the connection ended before the answer
  Silent,   ///< neither the request nor a question for life was answered; the client moved
  GaveUp,   ///< patience ended: what a user sees as a failure
};
std::string_view name_of(What what);

/// Something that a client met and that was not the answer it wanted.
struct Trouble {
  Nanos since = 0;  ///< when the request was sent
  Nanos at = 0;
  std::uint32_t client = 0;
  std::uint32_t node = 0;
  Kind kind = Kind::Send;
  What what = What::Status;
  std::uint16_t status = 0;
  std::string detail;
};

struct ClientInfo {
  std::string name;
  std::string role;
  std::uint32_t home = 0;            ///< site
  bool caught_up = false;            ///< a receiver that synced after the last send: has it all
  std::vector<std::uint32_t> rooms;  ///< where it is a member
};

struct NodeInfo {
  std::string url;
  std::uint32_t site = 0;
};

/// A site counts as lost from the moment the fault strikes until it is let back. Its clients
/// return by their own choice, when its nodes call themselves ready: what they are shown then counts.
struct Loss {
  std::uint32_t site = 0;
  Nanos from = 0;
  Nanos until = kNever;
};

/// Something to be shown on the time line.
struct Mark {
  Nanos at = 0;
  std::string text;
};

struct History {
  std::vector<std::string> sites;
  std::vector<NodeInfo> nodes;
  std::vector<ClientInfo> clients;
  std::vector<std::string> rooms;
  Texts texts;

  std::vector<Operation> operations;
  std::vector<Seen> seen;
  std::vector<SyncStep> steps;
  std::vector<Trouble> troubles;
  std::vector<FinalRoom> finals;

  std::vector<Nanos> faults;  ///< when something was done to the cluster, lost site or not
  std::vector<Loss> losses;
  std::vector<Mark> marks;
  Nanos load_from = 0;  ///< traffic, without preparation
  Nanos load_until = 0;

  std::uint32_t site_of(std::uint32_t node) const { return node < nodes.size() ? nodes[node].site : 0; }
  bool lost_at(std::uint32_t site, Nanos at) const;
  /// Whether the site was lost at some moment of [from, until].
  bool lost_within(std::uint32_t site, Nanos from, Nanos until) const;
};

/// Unique within a run; the server never sees the same one for two messages.
std::string transaction_id(const Operation& operation);

/// Everything, one JSON object a line; times count from the start of the load.
void write_json_lines(std::ostream& out, const History& history);
/// Sends and final reads as list-append transactions (:invoke, then :ok, :fail or :info),
/// which Jepsen's Elle reads: a room is a list, a message appends its number.
void write_edn(std::ostream& out, const History& history);

}  // namespace haechi::drill
