#pragma once
// What is made of the runs of a drill: how long things may take, and how that is said.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "drill/run.hpp"

namespace haechi::drill {

/// How long writes may stop: half of all runs at most `median_s`, each at most `worst_s`.
struct OutageLimit {
  double median_s = 0;
  double worst_s = 0;
};
/// Nothing where none is promised (slow links, a full disk on top of what they lead to).
std::optional<OutageLimit> outage_limit(const RunPlan& plan);
/// Clients of a lost site go on so soon after the database.
inline constexpr double kClientsMovedLimitS = 3.0;

/// Whether the run broke no promise and no limit.
bool good(const RunRecord& run);
/// Runs of one fault against one role: limits on medians are theirs together.
struct Group {
  std::string fault, role;
  std::vector<const RunRecord*> runs;
  double median_outage_s = 0, worst_outage_s = 0, worst_moved_s = 0;
  std::optional<double> worst_whole_s;  ///< nothing when one never became whole
  std::optional<OutageLimit> limit;
  bool good() const;
};
std::vector<Group> group(std::span<const RunRecord> runs);

std::string render_json(std::span<const RunRecord> runs);
std::string render_summary(std::span<const RunRecord> runs);
std::string render_html(const ReportHead& head, std::span<const RunRecord> runs);

/// A figure with as many digits as it deserves: "0.04", "2.1", "12"; "never" when infinite.
std::string seconds_text(double seconds);

namespace detail {
/// An SVG time line: acknowledged messages by site, latency, errors, events.
std::string render_chart(const RunRecord& run);
std::string escape_html(std::string_view text);
}  // namespace detail

}  // namespace haechi::drill
