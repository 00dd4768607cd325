#pragma once
// What the two halves of a drill say to each other. One half brings up sites,
// breaks them and makes them whole (the orchestrator: sites, network, faults);
// the other is the public: clients with a record of all that they were promised
// (the load), and the judge of that record. Neither knows the other's insides.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace haechi::drill {

/// Nanoseconds on CLOCK_MONOTONIC.
using Nanos = std::int64_t;
Nanos now_ns();
inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;

/// Where clients find a site: the base URLs of its nodes, its front first if it has one.
struct SiteEndpoints {
  std::string name;
  std::vector<std::string> nodes;
};

struct Place {
  std::string server_name;
  std::vector<SiteEndpoints> sites;  ///< three, in the order of their names
  /// Moves the calling thread into the clients' network. Every thread of the load
  /// calls it before it opens its first socket. Does nothing where the sites share
  /// the machine's own network.
  std::function<Result<>()> enter_network;
};

struct LoadOptions {
  int clients = 48;           ///< over all sites, a third of them at home in each
  double rate = 0;            ///< sends a second over all clients; 0: as many as are answered
  std::uint64_t seed = 0;     ///< of the load's own choices
  std::string history_dir;    ///< empty: histories are not written out
  bool only_senders = false;  ///< for measuring throughput: nobody receives, uploads or writes anything else
};

/// Something that happened, for the time line of the report and for the person who watches.
struct Event {
  enum class Kind { Note, FaultBegins, FaultEnds, Whole };
  Nanos at = 0;
  Kind kind = Kind::Note;
  std::string text;
};

/// What one run does to the cluster.
struct RunPlan {
  int number = 1;          ///< from 1
  std::string fault;       ///< kill, freeze, cut, slow, disk, evacuate, double; "none" only measures
  std::string detail;      ///< of the fault, for people: "from the other sites only", "40 ms, 2 MB/s"
  std::string site;        ///< name of the site that is hit
  std::string role;        ///< what it was when hit: primary, standby, third
  std::uint64_t seed = 0;  ///< repeats this run
};

/// What the clients' records say about one run; the judge's answer.
struct Figures {
  std::int64_t acknowledged = 0;            ///< sends answered with success
  std::int64_t lost = 0;                    ///< acknowledged, and missing at the end
  std::int64_t twice = 0;                   ///< one transaction id, two events
  std::int64_t out_of_order = 0;            ///< seen in another order than the one acknowledged
  std::int64_t unreadable = 0;              ///< acknowledged uploads that cannot be read, or differ
  std::int64_t client_errors = 0;           ///< failures shown to clients of sites that were not lost
  double write_outage_s = 0;                ///< the longest time without any acknowledged send, from the fault on
  Nanos outage_from = 0, outage_until = 0;  ///< when that was
  double clients_moved_s = 0;  ///< from the database's return (end of the outage) until every client of the lost site
                               ///< had a send acknowledged elsewhere; infinite when one never had
  double clients_moved_from_fault_s = 0;  ///< the same from the loss of the site
  double rate = 0;                        ///< acknowledged sends a second before the fault
  std::vector<std::string> broken;        ///< one line for each promise that was broken, with an example

  std::int64_t attempted = 0;                  ///< sends
  std::int64_t in_doubt = 0;                   ///< sends that were never answered
  std::int64_t uploads = 0;                    ///< acknowledged
  std::int64_t writes = 0;                     ///< of account data, acknowledged
  std::int64_t deliveries = 0;                 ///< messages that receivers were shown
  std::int64_t stale_reads = 0;                ///< own acknowledged changes that could not be seen
  std::int64_t silences = 0;                   ///< moves away from a surviving site's node that did not answer in time
  double quiet_before_s = 0;                   ///< longest time without an acknowledged send before the fault
  double p50_ms = 0, p99_ms = 0;               ///< from the time a send was due to its answer, before the fault
  std::vector<double> write_outage_by_site_s;  ///< among the clients at home in each site

  /// For the report's time line, one for each `slice_ns` from `began` on.
  struct Slice {
    std::int64_t acknowledged = 0;
    std::int64_t errors = 0;
    double p50_ms = 0, p99_ms = 0, max_ms = 0;
    std::vector<std::int64_t> by_site;  ///< acknowledged, by the site whose node answered
  };
  std::vector<std::string> sites;
  Nanos began = 0;
  Nanos slice_ns = 100 * kMillisecond;
  std::vector<Slice> slices;
};

/// All that is known about one run, for the summary, the JSON file and the report.
struct RunRecord {
  RunPlan plan;
  Figures figures;
  std::optional<double> whole_again_s;  ///< from the end of the fault; nothing: it did not become whole in time
  std::vector<Event> events;
  std::vector<std::string> broken;  ///< promises that the orchestrator saw broken
  bool kept_promises() const {
    const auto& f = figures;
    return f.lost == 0 && f.twice == 0 && f.out_of_order == 0 && f.unreadable == 0 && f.client_errors == 0 &&
           f.broken.empty() && broken.empty() && whole_again_s.has_value();
  }
};

/// The public. One object lives through all runs of a drill. All members are called
/// from the orchestrator's thread and return soon unless said otherwise; the load
/// runs on threads of its own.
class Load {
 public:
  virtual ~Load() = default;
  /// Makes the accounts and rooms that the clients use. Once, on a whole cluster. May take some seconds.
  virtual Result<> prepare() = 0;
  /// The clients begin. Returns once every client had its first send acknowledged.
  virtual Result<> begin(const RunPlan& plan) = 0;
  /// Called immediately before the fault strikes. `lost` holds the indexes of sites whose clients
  /// may see failures before they move; clients of the others may not. Called again when a
  /// second site is lost (double). Empty for faults that nobody may notice (slow, disk, evacuate).
  virtual void fault_begins(const Event& event, std::span<const int> lost) = 0;
  /// The site is coming back: links are healed, processes start. Its clients may go home when they like.
  virtual void fault_ends(const Event& event) = 0;
  /// Acknowledged sends of the last whole second and seconds since the last one: for lines of progress.
  struct Pulse {
    std::int64_t per_second = 0;
    double silent_s = 0;
    std::int64_t acknowledged = 0;
    std::int64_t errors = 0;
  };
  virtual Pulse pulse() const = 0;
  /// The clients stop once their open requests are answered (bounded); then everything acknowledged is
  /// read back through every site and judged. Takes some seconds. The cluster is whole when it is called,
  /// or as whole as it became.
  virtual Result<Figures> end() = 0;
};

std::unique_ptr<Load> make_load(Place place, LoadOptions options);

/// The table at the end, on standard output.
void print_summary(std::span<const RunRecord> runs);
/// {"runs":[{"fault","site",...}]}; Errc::Io when the file cannot be written.
Result<> write_json(const std::string& path, std::span<const RunRecord> runs);
/// One HTML file without outside references.
struct ReportHead {
  std::string began;    ///< wall clock, for people
  std::string machine;  ///< cores, memory, kernel
  std::string ground;   ///< how sites are kept apart, and what the links are like
};
Result<> write_report(const std::string& path, const ReportHead& head, std::span<const RunRecord> runs);

}  // namespace haechi::drill
