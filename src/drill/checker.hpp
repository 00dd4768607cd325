#pragma once
// Judges a drill from its clients' records and from nothing else. Pure: the same
// history gives the same verdict, so that the judge itself can be tested.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "drill/history.hpp"

namespace haechi::drill {

enum class Rule : std::uint8_t {
  Lost,           ///< acknowledged, and not there at the end
  LostWrite,      ///< account data at the end older than the last acknowledged
  Twice,          ///< one message, several events
  AnsweredTwice,  ///< a repeat got another event id than the first answer
  ShownTwice,     ///< a receiver or a final reading got one event twice
  Overtaken,      ///< acknowledged before another was sent, and stands behind it
  OtherOrder,     ///< a receiver, or another site, saw another order
  Hole,           ///< a receiver was passed over
  SeenThenGone,   ///< shown to a receiver, and not there at the end
  SitesDiffer,    ///< an event that one site has at the end and another has not
  TokenBack,      ///< a sync token behind the one it followed
  StaleRead,      ///< an acknowledged change was not to be seen by its author
  Unreadable,     ///< acknowledged media that could not be read, or were something else
  ClientError,    ///< a failure shown to a client by a surviving site
  NotRead,        ///< the room, or media, were never read at the end: nothing is proven
};
inline constexpr std::size_t kRules = 15;
std::string_view name_of(Rule rule);

struct Violation {
  Rule rule = Rule::Lost;
  Nanos at = 0;
  std::string text;
};

struct Verdict {
  std::uint64_t attempted = 0;     ///< messages
  std::uint64_t acknowledged = 0;  ///< messages
  std::uint64_t in_doubt = 0;      ///< messages that were never answered
  std::uint64_t uploads = 0;       ///< acknowledged
  std::uint64_t writes = 0;        ///< account data, acknowledged
  std::uint64_t deliveries = 0;    ///< messages seen by receivers
  std::uint64_t silences = 0;      ///< moves away from a surviving site's node that did not answer in time

  std::array<std::uint64_t, kRules> counts{};
  std::uint64_t of(Rule rule) const { return counts[static_cast<std::size_t>(rule)]; }
  /// The figures of the report are sums of rules.
  std::uint64_t lost() const { return of(Rule::Lost) + of(Rule::LostWrite) + of(Rule::NotRead); }
  std::uint64_t twice() const { return of(Rule::Twice) + of(Rule::AnsweredTwice); }
  std::uint64_t out_of_order() const;
  std::uint64_t stale_reads() const { return of(Rule::StaleRead); }
  std::uint64_t unreadable() const { return of(Rule::Unreadable); }
  std::uint64_t client_errors() const { return of(Rule::ClientError); }
  bool kept() const;

  /// Longest time between two acknowledgements of messages, from the last one before the first fault on.
  double write_outage_s = 0;
  Nanos outage_from = 0, outage_until = 0;
  /// The same among the clients of each site.
  std::vector<double> write_outage_by_site_s;
  /// Longest such time before the fault: what is normal on this machine.
  double quiet_before_s = 0;
  /// From the loss of their site until the last of its senders had an acknowledgement elsewhere;
  /// nothing when no sender lived there, infinity when one never had any.
  std::optional<double> clients_moved_s;
  /// The same from the first acknowledgement after the outage, that is since the database was back.
  std::optional<double> clients_moved_after_database_s;

  /// The first few of every rule, in order of time; `counts` has all.
  std::vector<Violation> violations;
};

struct CheckOptions {
  std::size_t shown_of_each_rule = 20;
};

Verdict judge(const History& history, const CheckOptions& options = {});

}  // namespace haechi::drill
