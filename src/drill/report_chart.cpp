#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "drill/report.hpp"

namespace haechi::drill::detail {
namespace {

// One drawing, in units of its view box: marks on a rail, the rate below, latency at the bottom.
constexpr double kWidth = 1000, kLeft = 56, kRight = 12;
constexpr double kRail = 16, kRateTop = 34, kRateHeight = 170;
constexpr double kLatencyTop = 232, kLatencyHeight = 84, kHeight = 344;
constexpr double kPlot = kWidth - kLeft - kRight;
/// More columns than this are not told apart on a screen.
constexpr std::size_t kColumnsMax = 900;

double seconds(Nanos t) { return static_cast<double>(t) / static_cast<double>(kSecond); }

/// A step for axis ticks: 1, 2 or 5 times a power of ten, for about `count` ticks.
double nice_step(double range, double count) {
  const double raw = std::max(range, 1e-9) / count;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double m : {1.0, 2.0, 5.0}) {
    if (m * power >= raw) return m * power;
  }
  return 10 * power;
}

std::vector<Figures::Slice> at_most(const std::vector<Figures::Slice>& slices, std::size_t& merged) {
  merged = std::max<std::size_t>(1, (slices.size() + kColumnsMax - 1) / kColumnsMax);
  if (merged == 1) return slices;
  std::vector<Figures::Slice> out;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    if (i % merged == 0) out.emplace_back().by_site.resize(slices[i].by_site.size());
    auto& o = out.back();
    const auto& s = slices[i];
    o.acknowledged += s.acknowledged;
    o.errors += s.errors;
    o.p50_ms = std::max(o.p50_ms, s.p50_ms);
    o.p99_ms = std::max(o.p99_ms, s.p99_ms);
    for (std::size_t k = 0; k < s.by_site.size() && k < o.by_site.size(); ++k) o.by_site[k] += s.by_site[k];
  }
  return out;
}

class Chart {
 public:
  explicit Chart(const RunRecord& run) : run_(run), f_(run.figures) {
    slices_ = at_most(f_.slices, merged_);
    slice_s_ = seconds(f_.slice_ns) * static_cast<double>(merged_);
    length_s_ = std::max(slice_s_ * static_cast<double>(slices_.size()), 1e-3);
    origin_ = f_.began;
    for (const auto& e : run.events) {
      if (e.kind == Event::Kind::FaultBegins) {
        origin_ = e.at;
        break;
      }
    }
  }

  std::string render() {
    add(R"(<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="Messages acknowledged and latency over time">)",
        kWidth, kHeight);
    outage();
    rate();
    latency();
    time_axis();
    events();
    out_ += "</svg>";
    return std::move(out_);
  }

 private:
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }
  double x_of_second(double s) const { return kLeft + kPlot * s / length_s_; }
  double x_of(Nanos at) const { return std::clamp(x_of_second(seconds(at - f_.began)), kLeft, kLeft + kPlot); }

  void outage() {
    // Short silences are ordinary; a band would suggest otherwise.
    if (f_.write_outage_s < 0.25 || f_.outage_until <= f_.outage_from) return;
    const double from = x_of(f_.outage_from), until = x_of(f_.outage_until);
    add(R"(<rect class="outage" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>no write for {} s</title></rect>)",
        from, kRateTop, std::max(1.0, until - from), kLatencyTop + kLatencyHeight - kRateTop,
        seconds_text(f_.write_outage_s));
  }

  void rate() {
    const double per_second = 1 / slice_s_;
    double highest = 1;
    std::vector<double> busy;
    for (const auto& s : slices_) {
      const auto one = static_cast<double>(s.acknowledged) * per_second;
      highest = std::max(highest, one);
      if (one > 0) busy.push_back(one);
    }
    std::ranges::sort(busy);
    // All that waited is answered at once when the database is back. Such a moment is cut off and
    // labelled: it must not press everything else to the ground.
    const double usual = busy.empty() ? 1 : busy[busy.size() / 2];
    double top = std::min(highest, 2.6 * usual);
    const double step = nice_step(top, 4);
    top = std::ceil(top / step) * step;
    const auto y_of = [&](double value) { return kRateTop + kRateHeight * (1 - std::min(1.0, value / top)); };
    for (double v = 0; v <= top + step / 2; v += step) {
      add(R"(<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/><text class="tick end" x="{3}" y="{4:.1f}">{5:.0f}</text>)",
          kLeft, kLeft + kPlot, y_of(v), kLeft - 6, y_of(v) + 4, v);
    }
    add(R"(<text class="axis" x="{}" y="{}">acknowledged messages a second, by the site that answered</text>)",
        kLeft + 4, kRateTop - 4);
    // Areas stand on each other, each a step line above and the one below backwards.
    std::vector<double> base(slices_.size());
    for (std::size_t site = 0; site < f_.sites.size(); ++site) {
      std::string above, below;
      auto to = base;
      for (std::size_t i = 0; i < slices_.size(); ++i) {
        if (site < slices_[i].by_site.size()) to[i] += static_cast<double>(slices_[i].by_site[site]) * per_second;
      }
      const auto points = [&](std::string& text, const std::vector<double>& values, bool backwards) {
        for (std::size_t k = 0; k < values.size(); ++k) {
          const auto i = backwards ? values.size() - 1 - k : k;
          const double left = x_of_second(slice_s_ * static_cast<double>(i));
          const double right = x_of_second(slice_s_ * static_cast<double>(i + 1));
          fmt::format_to(std::back_inserter(text), "{:.1f},{:.1f} {:.1f},{:.1f} ", backwards ? right : left,
                         y_of(values[i]), backwards ? left : right, y_of(values[i]));
        }
      };
      points(above, to, false);
      points(below, base, true);
      add(R"(<polygon class="site s{}" points="{}{}"/>)", site % 6, above, below);
      base = std::move(to);
    }
    double labelled = -100;
    for (std::size_t i = 0; i < slices_.size(); ++i) {
      const double one = static_cast<double>(slices_[i].acknowledged) * per_second;
      const double x = x_of_second(slice_s_ * (static_cast<double>(i) + 1)) + 3;
      if (one <= top * 1.01 || x - labelled < 60) continue;
      labelled = x;
      add(R"(<text class="peak" x="{:.1f}" y="{}">▲ {:.0f}</text>)", x, kRateTop + 11, one);
    }
    for (std::size_t i = 0; i < slices_.size(); ++i) {
      if (slices_[i].errors == 0) continue;
      add(R"(<rect class="error" x="{:.1f}" y="{:.1f}" width="3" height="8"><title>{} errors shown to clients</title></rect>)",
          x_of_second(slice_s_ * static_cast<double>(i)), kRateTop + kRateHeight - 8, slices_[i].errors);
    }
  }

  void latency() {
    double top = 10;
    for (const auto& s : slices_) top = std::max(top, s.p99_ms);
    constexpr double kBottom = 0.1;
    const double decades = std::ceil(std::log10(top / kBottom));
    const auto y_of = [&](double ms) {
      const double share = std::log10(std::max(ms, kBottom) / kBottom) / decades;
      return kLatencyTop + kLatencyHeight * (1 - std::clamp(share, 0.0, 1.0));
    };
    for (int d = 0; d <= static_cast<int>(decades); ++d) {
      const double ms = kBottom * std::pow(10.0, d);
      const auto label = ms >= 1000 ? fmt::format("{:g} s", ms / 1000) : fmt::format("{:g} ms", ms);
      add(R"(<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/><text class="tick end" x="{3}" y="{4:.1f}">{5}</text>)",
          kLeft, kLeft + kPlot, y_of(ms), kLeft - 6, y_of(ms) + 4, label);
    }
    add(R"(<text class="axis" x="{}" y="{}">time to the acknowledgement: half of all messages, and 99 %</text>)",
        kLeft + 4, kLatencyTop - 4);
    line("p99", y_of, &Figures::Slice::p99_ms);
    line("p50", y_of, &Figures::Slice::p50_ms);
  }

  void line(std::string_view name, const auto& y_of, double Figures::Slice::* value) {
    std::string path;
    bool down = false;
    for (std::size_t i = 0; i < slices_.size(); ++i) {
      if (slices_[i].acknowledged == 0) {
        down = false;  // nothing was answered: nothing to draw
        continue;
      }
      fmt::format_to(std::back_inserter(path), "{}{:.1f} {:.1f}", down ? "L" : "M",
                     x_of_second(slice_s_ * (static_cast<double>(i) + 0.5)), y_of(slices_[i].*value));
      down = true;
    }
    if (!path.empty()) add(R"(<path class="{}" d="{}"/>)", name, path);
  }

  void time_axis() {
    const double zero = seconds(origin_ - f_.began);
    const double step = nice_step(length_s_, 12);
    for (double t = std::ceil(-zero / step) * step; t <= length_s_ - zero + 1e-9; t += step) {
      const double x = x_of_second(t + zero);
      add(R"(<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/><text class="tick mid" x="{0:.1f}" y="{3}">{4}{5:g} s</text>)",
          x, kLatencyTop + kLatencyHeight, kLatencyTop + kLatencyHeight + 5, kLatencyTop + kLatencyHeight + 19,
          t > step / 2 ? "+" : "", std::abs(t) < step / 2 ? 0.0 : t);
    }
  }

  void events() {
    double before = -100;
    int lift = 0;
    for (std::size_t i = 0; i < run_.events.size(); ++i) {
      const auto& e = run_.events[i];
      if (e.at < f_.began || seconds(e.at - f_.began) > length_s_) continue;
      const double x = x_of(e.at);
      // Marks that would cover each other step aside; the line still stands at the moment itself.
      lift = x - before < 17 ? lift + 1 : 0;
      const double shown = lift == 0 ? x : before + 17;
      before = shown;
      const auto kind = e.kind == Event::Kind::FaultBegins ? "fault"
                        : e.kind == Event::Kind::FaultEnds ? "healed"
                        : e.kind == Event::Kind::Whole     ? "whole"
                                                           : "note";
      add(R"(<g class="mark {}"><title>{}</title><line x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}"/><circle cx="{:.1f}" cy="{}" r="8"/><text x="{:.1f}" y="{}">{}</text></g>)",
          kind, escape_html(e.text), x, kRail, x, kLatencyTop + kLatencyHeight, std::min(shown, kWidth - 9), kRail - 5,
          std::min(shown, kWidth - 9), kRail - 1, i + 1);
    }
  }

  const RunRecord& run_;
  const Figures& f_;
  std::vector<Figures::Slice> slices_;
  std::size_t merged_ = 1;
  double slice_s_ = 0.1, length_s_ = 1;
  Nanos origin_ = 0;
  std::string out_;
};

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string render_chart(const RunRecord& run) {
  if (run.figures.slices.empty()) return R"(<p class="quiet">No traffic was recorded.</p>)";
  return Chart(run).render();
}

}  // namespace haechi::drill::detail
