#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <tuple>

#include "drill/report.hpp"

namespace haechi::drill {
namespace {

using detail::escape_html;

constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--ground:#f6f7f8;--card:#fff;--ink:#1d2329;--soft:#5d6872;--line:#dde2e6;
--good:#1a7f4b;--good-ground:#e4f4ea;--bad:#b3261e;--bad-ground:#fbe6e4;--slow:#8a5a00;--slow-ground:#fcf0d6;
--s0:#2f6fb7;--s1:#e08a1e;--s2:#2c9c86;--s3:#8d5fb5;--s4:#c2557d;--s5:#77808a;--p50:#2f6fb7;--p99:#a33f8f}
@media(prefers-color-scheme:dark){:root{--ground:#14181c;--card:#1d2328;--ink:#e6eaed;--soft:#98a4ae;--line:#333c44;
--good:#6fd19b;--good-ground:#173626;--bad:#ff9d94;--bad-ground:#46201d;--slow:#f1c66b;--slow-ground:#3d3013;
--s0:#5b9ae0;--s1:#f0a548;--s2:#4fc0a9;--s3:#b18bd8;--s4:#e283a6;--s5:#9aa4ad;--p50:#7db4f0;--p99:#e08fd0}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1120px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:30px;line-height:1.2;margin:0 0 4px}h2{font-size:21px;margin:40px 0 12px}h3{font-size:18px;margin:0}
p{margin:0 0 10px}.quiet{color:var(--soft)}.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:0 0 18px}
.banner{border-radius:10px;padding:16px 20px;margin:20px 0;font-size:20px;font-weight:600}
.banner p{font-size:15px;font-weight:400;margin:4px 0 0}
.banner.good{background:var(--good-ground);color:var(--good)}.banner.bad{background:var(--bad-ground);color:var(--bad)}.banner.slow{background:var(--slow-ground);color:var(--slow)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.tile b{display:block;font-size:27px;line-height:1.25;font-weight:650;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:14px}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:15px}
th{font-weight:600;text-align:left;color:var(--soft);font-size:13px;vertical-align:bottom}
th,td{padding:7px 10px;border-bottom:1px solid var(--line)}tr:last-child td{border-bottom:0}
td.w{white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.chip{display:inline-block;border-radius:999px;padding:1px 10px;font-size:13px;font-weight:600;white-space:nowrap}
.chip.good{background:var(--good-ground);color:var(--good)}.chip.bad{background:var(--bad-ground);color:var(--bad)}.chip.slow{background:var(--slow-ground);color:var(--slow)}
.head{display:flex;flex-wrap:wrap;gap:6px 14px;align-items:baseline;margin-bottom:8px}.head .quiet{font-size:14px}
.facts{display:flex;flex-wrap:wrap;gap:4px 22px;margin:0 0 8px;font-size:15px}.facts b{font-variant-numeric:tabular-nums}
svg.chart{display:block;width:100%;height:auto;margin:6px 0}
.grid{stroke:var(--line);stroke-width:1}.tick,.axis,.peak{fill:var(--soft);font-size:12px}.end{text-anchor:end}.mid{text-anchor:middle}
.outage{fill:var(--bad);opacity:.13}.site{opacity:.88}.error{fill:var(--bad)}
.s0{fill:var(--s0)}.s1{fill:var(--s1)}.s2{fill:var(--s2)}.s3{fill:var(--s3)}.s4{fill:var(--s4)}.s5{fill:var(--s5)}
.p50,.p99{fill:none;stroke-width:1.6}.p50{stroke:var(--p50)}.p99{stroke:var(--p99)}
.mark line{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3}.mark circle{fill:var(--soft)}.mark text{fill:var(--card);font-size:10.5px;font-weight:700;text-anchor:middle}
.mark.fault line{stroke:var(--bad);stroke-dasharray:none;stroke-width:1.5}.mark.fault circle{fill:var(--bad)}
.mark.whole circle,.mark.healed circle{fill:var(--good)}.mark.whole line,.mark.healed line{stroke:var(--good)}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--soft)}.legend i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;vertical-align:-1px}
.legend i.line{height:3px;border-radius:2px;vertical-align:4px}
ol.events{margin:8px 0 0;padding:0;list-style:none;font-size:14px;columns:2;column-gap:32px}
ol.events li{break-inside:avoid;display:flex;gap:10px;padding:1px 0}ol.events .t{color:var(--soft);min-width:68px;text-align:right;font-variant-numeric:tabular-nums}
ol.events .k{min-width:22px;text-align:right;color:var(--soft)}
ul.broken{margin:6px 0 8px;padding-left:20px;color:var(--bad);font-size:14px;overflow-wrap:anywhere}a{color:inherit}
@media(max-width:720px){ol.events{columns:1}}
@media print{body{background:#fff}.card,.tile{break-inside:avoid}}
)css";

std::string grouped(std::int64_t value) {
  auto digits = std::to_string(value);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

std::string with_unit(double s) { return std::isfinite(s) ? seconds_text(s) + " s" : "never"; }

std::string what_happened(const RunPlan& plan) {
  const auto& f = plan.fault;
  const auto where = plan.site.empty() ? std::string("a site")
                                       : "site " + plan.site + (plan.role.empty() ? "" : " (" + plan.role + ")");
  if (f == "kill") return "Everything in " + where + " was killed";
  if (f == "freeze") return "Everything in " + where + " was frozen";
  if (f == "cut") return where + " was cut off the network";
  if (f == "slow") return "The links of " + where + " became slow";
  if (f == "disk") return "The disk of " + where + " filled up";
  if (f == "evacuate") return where + " was evacuated";
  if (f == "double") return where + " was lost, and the third site while it was returning";
  if (f == "none") return "Nothing was broken";
  return f + " at " + where;
}

std::string capital(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

class Page {
 public:
  Page(const ReportHead& head, std::span<const RunRecord> runs) : head_(head), runs_(runs), groups_(group(runs)) {}

  std::string render() {
    add(R"(<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Haechi drill</title><style>{}</style></head><body><main>)",
        kStyle);
    add("<h1>Losing a data centre: the drill</h1><p class=\"quiet\">{}</p><p class=\"quiet\">{}{}{}</p>",
        escape_html(head_.began), escape_html(head_.machine), head_.ground.empty() ? "" : " · ",
        escape_html(head_.ground));
    banner();
    tiles();
    promises();
    times();
    if (runs_.size() > 1) table();
    out_ += "<h2>What happened</h2>";
    for (const auto& r : runs_) run(r);
    out_ +=
        R"(<p class="quiet">Every figure comes from the records of the clients alone. Seconds without writes: the longest time between two acknowledged messages, over all clients, from the last one before the fault to the end of the load. Clients moved: from the end of that time until the last client of the lost site had a message acknowledged elsewhere.</p></main></body></html>)";
    out_ += '\n';
    return std::move(out_);
  }

 private:
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }
  std::int64_t sum(std::int64_t Figures::* member) const {
    std::int64_t total = 0;
    for (const auto& r : runs_) total += r.figures.*member;
    return total;
  }
  static std::string chip(bool kept, std::string_view yes = "kept", std::string_view no = "broken") {
    return fmt::format(R"(<span class="chip {}">{}</span>)", kept ? "good" : "bad", kept ? yes : no);
  }
  static std::string verdict(const RunRecord& r) {
    if (!r.kept_promises()) return R"(<span class="chip bad">promise broken</span>)";
    return good(r) ? R"(<span class="chip good">kept</span>)" : R"(<span class="chip slow">kept, but slow</span>)";
  }

  void banner() {
    const auto broken = std::ranges::count_if(runs_, [](const auto& r) { return !r.kept_promises(); });
    const auto slow = std::ranges::count_if(groups_, [](const Group& g) { return !g.good(); });
    const auto times = runs_.size() == 1 ? std::string("once") : fmt::format("{} times", runs_.size());
    if (runs_.empty()) {
      out_ += R"(<div class="banner bad">No run was finished.</div>)";
    } else if (broken > 0) {
      add(R"(<div class="banner bad">In {} of {} runs a promise was broken.<p>The runs below say which, with an example of each.</p></div>)",
          broken, runs_.size());
    } else if (slow > 0) {
      add(R"(<div class="banner slow">Nothing was lost, but it took longer than promised.<p>The cluster was struck {}.</p></div>)",
          times);
    } else {
      add(R"(<div class="banner good">Every promise was kept.<p>The cluster was struck {}. No acknowledged message was lost, repeated or reordered, and no client of a surviving site was shown an error.</p></div>)",
          times);
    }
  }

  void tile(std::string_view value, std::string_view label) {
    add(R"(<div class="tile"><b>{}</b><span>{}</span></div>)", value, label);
  }

  void tiles() {
    double worst = 0, moved = 0;
    for (const auto& r : runs_) {
      worst = std::max(worst, r.figures.write_outage_s);
      moved = std::max(moved, r.figures.clients_moved_s);
    }
    out_ += R"(<div class="tiles">)";
    tile(grouped(sum(&Figures::acknowledged)), "messages acknowledged");
    tile(grouped(sum(&Figures::lost)), "of them lost");
    tile(grouped(sum(&Figures::client_errors)), "errors shown in surviving sites");
    tile(with_unit(worst), "longest time without a write");
    tile(with_unit(moved), "until the last client of a lost site went on");
    out_ += "</div>";
  }

  void promise(std::string_view what, const std::string& measured, bool kept) {
    add("<tr><td>{}</td><td>{}</td><td>{}</td></tr>", what, measured, chip(kept));
  }

  void promises() {
    const auto of = [&](std::int64_t bad, std::int64_t all, std::string_view things) {
      return fmt::format("{} of {} {}", grouped(bad), grouped(all), things);
    };
    const auto count = [&](std::int64_t Figures::* m) { return sum(m); };
    out_ += R"(<h2>The promises</h2><div class="card wide"><table><tr><th>Promise</th><th>Counted</th><th></th></tr>)";
    const auto lost = count(&Figures::lost), twice = count(&Figures::twice), order = count(&Figures::out_of_order);
    const auto media = count(&Figures::unreadable), errors = count(&Figures::client_errors);
    const auto stale = count(&Figures::stale_reads);
    promise("Acknowledged means safe: what was acknowledged is there in the end, at every site",
            of(lost, count(&Figures::acknowledged), "acknowledged messages were lost"), lost == 0);
    promise("Once: a message that is sent again, to any site, has one effect and gets the same answer",
            of(twice, count(&Figures::attempted), "messages happened twice"), twice == 0);
    promise("One order: everybody sees a room in the same order, nobody is passed over",
            of(order, count(&Figures::deliveries), "deliveries were out of order"), order == 0);
    promise("Media survive: what was uploaded can be read, unchanged, at every site",
            of(media, count(&Figures::uploads), "uploads could not be read"), media == 0);
    promise("Nobody notices: clients of surviving sites wait, they are not shown errors",
            fmt::format("{} errors were shown, {} messages sent", grouped(errors), grouped(count(&Figures::attempted))),
            errors == 0);
    promise("One sees one's own changes, at whichever site one looks", fmt::format("{} were not seen", grouped(stale)),
            stale == 0);
    const auto never = std::ranges::count_if(runs_, [](const auto& r) { return !r.whole_again_s.has_value(); });
    double slowest = 0;
    for (const auto& r : runs_) slowest = std::max(slowest, r.whole_again_s.value_or(0));
    promise("A site that returns becomes whole without a hand's help",
            never ? fmt::format("{} of {} did not", never, runs_.size())
                  : fmt::format("{} of {} did, the slowest in {}", runs_.size(), runs_.size(), with_unit(slowest)),
            never == 0 && !runs_.empty());
    out_ += "</table></div>";
  }

  void times() {
    out_ +=
        R"(<h2>How long it took</h2><div class="card wide"><table><tr><th>Fault</th><th>Site hit</th><th class="n">Runs</th><th class="n">Without writes, median</th><th class="n">worst</th><th class="n">promised</th><th class="n">Clients moved, worst</th><th class="n">Whole again, worst</th><th></th></tr>)";
    for (const auto& g : groups_) {
      const bool in_time =
          (!g.limit || (g.median_outage_s <= g.limit->median_s && g.worst_outage_s <= g.limit->worst_s)) &&
          g.worst_moved_s <= kClientsMovedLimitS && g.worst_whole_s.has_value();
      add(R"(<tr><td>{}</td><td>{}</td><td class="n">{}</td><td class="n">{}</td><td class="n">{}</td><td class="n">{}</td><td class="n">{}</td><td class="n">{}</td><td>{}</td></tr>)",
          escape_html(g.fault), escape_html(g.role), g.runs.size(), with_unit(g.median_outage_s),
          with_unit(g.worst_outage_s),
          g.limit ? fmt::format("{:g} s, {:g} s", g.limit->median_s, g.limit->worst_s) : "–",
          with_unit(g.worst_moved_s), g.worst_whole_s ? with_unit(*g.worst_whole_s) : "never",
          in_time ? R"(<span class="chip good">in time</span>)" : R"(<span class="chip slow">too slow</span>)");
    }
    out_ += "</table></div>";
  }

  void table() {
    out_ +=
        R"(<h2>All runs</h2><div class="card wide"><table><tr><th class="n">Run</th><th>Fault</th><th>Site</th><th class="n">Acknowledged</th><th class="n">Lost</th><th class="n">Twice</th><th class="n">Order</th><th class="n">Media</th><th class="n">Errors</th><th class="n">Without writes</th><th class="n">Clients moved</th><th class="n">Whole again</th><th></th></tr>)";
    for (const auto& r : runs_) {
      const auto& f = r.figures;
      add(R"(<tr><td class="n"><a href="#run{0}">{0}</a></td><td>{1}</td><td class="w">{2}</td><td class="n">{3}</td><td class="n">{4}</td><td class="n">{5}</td><td class="n">{6}</td><td class="n">{7}</td><td class="n">{8}</td><td class="n">{9}</td><td class="n">{10}</td><td class="n">{11}</td><td>{12}</td></tr>)",
          r.plan.number, escape_html(r.plan.fault),
          escape_html(r.plan.site + (r.plan.role.empty() ? "" : ", " + r.plan.role)), grouped(f.acknowledged), f.lost,
          f.twice, f.out_of_order, f.unreadable, f.client_errors, with_unit(f.write_outage_s),
          with_unit(f.clients_moved_s), r.whole_again_s ? with_unit(*r.whole_again_s) : "never", verdict(r));
    }
    out_ += "</table></div>";
  }

  void legend(const Figures& f) {
    out_ += R"(<div class="legend">)";
    for (std::size_t s = 0; s < f.sites.size(); ++s) {
      add(R"h(<span><i style="background:var(--s{})"></i>site {}</span>)h", s % 6, escape_html(f.sites[s]));
    }
    out_ +=
        R"h(<span><i class="line" style="background:var(--p50)"></i>half of the messages</span><span><i class="line" style="background:var(--p99)"></i>99 %</span><span><i style="background:var(--bad);opacity:.3"></i>no writes</span></div>)h";
  }

  void run(const RunRecord& r) {
    const auto& f = r.figures;
    add(R"(<section class="card" id="run{}"><div class="head"><h3>Run {}: {}</h3>{}<span class="quiet">{}seed {}</span></div>)",
        r.plan.number, r.plan.number, escape_html(capital(what_happened(r.plan))), verdict(r),
        r.plan.detail.empty() ? "" : escape_html(r.plan.detail) + " · ", r.plan.seed);
    add(R"(<div class="facts"><span>Load before: <b>{:.0f}</b> messages/s, half within <b>{:.1f} ms</b>, 99 % within <b>{:.1f} ms</b></span><span>Acknowledged: <b>{}</b></span><span>Without writes: <b>{}</b></span><span>Clients moved: <b>{}</b></span><span>Whole again: <b>{}</b></span></div>)",
        f.rate, f.p50_ms, f.p99_ms, grouped(f.acknowledged), with_unit(f.write_outage_s), with_unit(f.clients_moved_s),
        r.whole_again_s ? with_unit(*r.whole_again_s) : "never");
    if (!f.broken.empty() || !r.broken.empty()) {
      out_ += R"(<ul class="broken">)";
      for (const auto& b : f.broken) add("<li>{}</li>", escape_html(b));
      for (const auto& b : r.broken) add("<li>{}</li>", escape_html(b));
      out_ += "</ul>";
    }
    out_ += detail::render_chart(r);
    legend(f);
    events(r);
    out_ += "</section>";
  }

  void events(const RunRecord& r) {
    if (r.events.empty()) return;
    const auto fault = std::ranges::find(r.events, Event::Kind::FaultBegins, &Event::kind);
    const Nanos zero = fault == r.events.end() ? r.figures.began : fault->at;
    out_ += R"(<ol class="events">)";
    for (std::size_t i = 0; i < r.events.size(); ++i) {
      const auto& e = r.events[i];
      add(R"(<li><span class="k">{}</span><span class="t">{:+.2f} s</span><span>{}</span></li>)", i + 1,
          static_cast<double>(e.at - zero) / static_cast<double>(kSecond), escape_html(e.text));
    }
    out_ += "</ol>";
  }

  const ReportHead& head_;
  std::span<const RunRecord> runs_;
  const std::vector<Group> groups_;
  std::string out_;
};

}  // namespace

std::string render_html(const ReportHead& head, std::span<const RunRecord> runs) {
  // Events are numbered in the order they came, whichever thread told of them first.
  std::vector<RunRecord> ordered(runs.begin(), runs.end());
  for (auto& r : ordered) {
    std::ranges::sort(r.events, {}, [](const Event& e) { return std::tie(e.at, e.text); });
  }
  return Page(head, ordered).render();
}

}  // namespace haechi::drill
