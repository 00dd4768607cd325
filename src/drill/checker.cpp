#include "drill/checker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>
#include <unordered_set>

namespace haechi::drill {

std::string_view name_of(Rule rule) {
  switch (rule) {
    case Rule::Lost: return "acknowledged and lost";
    case Rule::LostWrite: return "acknowledged account data lost";
    case Rule::Twice: return "done twice";
    case Rule::AnsweredTwice: return "a repeat got another answer";
    case Rule::ShownTwice: return "shown twice";
    case Rule::Overtaken: return "overtaken by a later message";
    case Rule::OtherOrder: return "seen in another order";
    case Rule::Hole: return "not shown to a receiver";
    case Rule::SeenThenGone: return "shown, and gone at the end";
    case Rule::SitesDiffer: return "sites differ at the end";
    case Rule::TokenBack: return "sync token went back";
    case Rule::StaleRead: return "own change not seen";
    case Rule::Unreadable: return "acknowledged media unreadable";
    case Rule::ClientError: return "failure shown to a client";
    case Rule::NotRead: return "not read back at the end";
  }
  return "?";
}

std::uint64_t Verdict::out_of_order() const {
  return of(Rule::ShownTwice) + of(Rule::Overtaken) + of(Rule::OtherOrder) + of(Rule::Hole) + of(Rule::SeenThenGone) +
         of(Rule::SitesDiffer) + of(Rule::TokenBack);
}

bool Verdict::kept() const {
  return std::ranges::all_of(counts, [](std::uint64_t n) { return n == 0; });
}

namespace {

constexpr std::uint32_t kAbsent = UINT32_MAX;

double seconds(Nanos t) { return static_cast<double>(t) / static_cast<double>(kSecond); }

/// Records of one history lie in one array, in the order they were made: that breaks ties.
template <class T>
void in_order_of(std::vector<const T*>& records, Nanos T::* time) {
  std::ranges::sort(records,
                    [time](const T* a, const T* b) { return std::pair(a->*time, a) < std::pair(b->*time, b); });
}

/// One final reading with its order made searchable.
struct Reading {
  const FinalRoom* read = nullptr;
  std::vector<std::uint32_t> place_of_event;  ///< by Ref
  std::uint32_t place(Ref event) const { return event < place_of_event.size() ? place_of_event[event] : kAbsent; }
};

class Judge {
 public:
  Judge(const History& history, const CheckOptions& options) : h_(history), options_(options) {}

  Verdict run() {
    for (const auto& o : h_.operations) count(o);
    v_.deliveries = h_.seen.size();
    by_room();
    tokens();
    account_data();
    media();
    troubles();
    timing();
    std::ranges::sort(v_.violations, {}, [](const Violation& v) { return std::tie(v.at, v.rule, v.text); });
    return std::move(v_);
  }

 private:
  template <class... Args>
  void found(Rule rule, Nanos at, fmt::format_string<Args...> format, Args&&... args) {
    if (++v_.counts[static_cast<std::size_t>(rule)] > options_.shown_of_each_rule) return;
    v_.violations.push_back({rule, at, fmt::format(format, std::forward<Args>(args)...)});
  }

  std::string_view site_name(std::uint32_t node) const {
    const auto site = h_.site_of(node);
    return site < h_.sites.size() ? std::string_view(h_.sites[site]) : "?";
  }
  std::string_view room_name(std::uint32_t room) const {
    return room < h_.rooms.size() ? std::string_view(h_.rooms[room]) : "?";
  }
  std::string_view event(Ref ref) const { return h_.texts[ref]; }

  void count(const Operation& o) {
    const bool ok = o.outcome == Outcome::Ok;
    switch (o.kind) {
      case Kind::Send:
        ++v_.attempted;
        v_.acknowledged += ok;
        v_.in_doubt += o.outcome == Outcome::Unknown;
        break;
      case Kind::Upload: v_.uploads += ok; break;
      case Kind::Write: v_.writes += ok; break;
      default: break;
    }
  }

  // --- rooms: lost, twice, order ---------------------------------------------

  void by_room() {
    struct Room {
      std::vector<const Operation*> sends, resends, reads;
      std::vector<const FinalRoom*> finals;
      std::map<std::uint32_t, std::vector<const Seen*>> seen;  // by receiver
    };
    std::map<std::uint32_t, Room> rooms;
    for (const auto& o : h_.operations) {
      if (o.kind == Kind::Send) rooms[o.room].sends.push_back(&o);
      if (o.kind == Kind::Resend) rooms[o.room].resends.push_back(&o);
      if (o.kind == Kind::ReadEvent) rooms[o.room].reads.push_back(&o);
    }
    for (const auto& f : h_.finals) rooms[f.room].finals.push_back(&f);
    for (const auto& s : h_.seen) rooms[s.room].seen[s.client].push_back(&s);

    for (auto& [room, all] : rooms) {
      read_own(all.reads);
      repeats(all.sends, all.resends);
      if (all.finals.empty()) {
        if (!all.sends.empty() || !all.seen.empty()) found(Rule::NotRead, h_.load_until, "room {}", room_name(room));
        continue;
      }
      std::vector<Reading> readings;
      for (const auto* f : all.finals) readings.push_back(index(*f));
      lost(all.sends, readings);
      twice(readings);
      sites_differ(readings);
      for (const auto& reading : readings) overtaken(all.sends, reading);
      for (auto& [client, seen] : all.seen) receiver(client, seen, readings);
      never_shown(room, all.seen, readings.front());
    }
  }

  Reading index(const FinalRoom& read) {
    Reading out{&read, std::vector<std::uint32_t>(h_.texts.size(), kAbsent)};
    for (std::size_t i = 0; i < read.events.size(); ++i) {
      const Ref ref = read.events[i].event;
      if (ref >= out.place_of_event.size()) continue;
      auto& place = out.place_of_event[ref];
      if (place != kAbsent) {
        found(Rule::ShownTwice, h_.load_until, "{} stands twice in room {} as site {} tells it", event(ref),
              room_name(read.room), site_name(read.node));
        continue;
      }
      place = static_cast<std::uint32_t>(i);
    }
    return out;
  }

  void lost(const std::vector<const Operation*>& sends, const std::vector<Reading>& readings) {
    for (const auto* o : sends) {
      if (o->outcome != Outcome::Ok) continue;
      for (const auto& r : readings) {
        const auto place = r.place(o->result);
        if (place != kAbsent && r.read->events[place].number == o->number) continue;
        found(Rule::Lost, o->end, "message {} of client {}, acknowledged as {} by site {}, {} at site {}", o->number,
              o->client, event(o->result), site_name(o->node),
              place == kAbsent ? "is missing" : "names another message", site_name(r.read->node));
        break;
      }
    }
  }

  void twice(const std::vector<Reading>& readings) {
    std::unordered_map<std::uint64_t, Ref> first;
    std::unordered_set<std::uint64_t> told;
    for (const auto& r : readings) {
      for (const auto& e : r.read->events) {
        if (e.number == 0) continue;
        const auto [at, fresh] = first.emplace(e.number, e.event);
        if (fresh || at->second == e.event || !told.insert(e.number).second) continue;
        found(Rule::Twice, h_.load_until, "message {} is both {} and {} in room {}", e.number, event(at->second),
              event(e.event), room_name(r.read->room));
      }
    }
  }

  void repeats(const std::vector<const Operation*>& sends, const std::vector<const Operation*>& resends) {
    if (resends.empty()) return;
    std::unordered_map<std::uint64_t, const Operation*> by_number;
    for (const auto* o : sends) by_number.emplace(o->number, o);
    for (const auto* o : resends) {
      const auto first = by_number.find(o->number);
      if (o->outcome != Outcome::Ok || first == by_number.end() || first->second->outcome != Outcome::Ok) continue;
      if (first->second->result == o->result) continue;
      found(Rule::AnsweredTwice, o->end, "message {} was acknowledged as {} and, repeated, as {} by site {}", o->number,
            event(first->second->result), event(o->result), site_name(o->node));
    }
  }

  void sites_differ(const std::vector<Reading>& readings) {
    const auto& first = readings.front();
    for (std::size_t i = 1; i < readings.size(); ++i) {
      const auto& other = readings[i];
      const auto report_missing = [&](const Reading& has, const Reading& lacks) {
        for (const auto& e : has.read->events) {
          if (lacks.place(e.event) != kAbsent) continue;
          found(Rule::SitesDiffer, h_.load_until, "{} in room {}: site {} has it, site {} has not", event(e.event),
                room_name(has.read->room), site_name(has.read->node), site_name(lacks.read->node));
        }
      };
      report_missing(first, other);
      report_missing(other, first);
      std::uint32_t before = 0;
      for (const auto& e : other.read->events) {
        const auto place = first.place(e.event);
        if (place == kAbsent) continue;
        if (place < before) {
          found(Rule::OtherOrder, h_.load_until, "{} in room {}: sites {} and {} order it differently", event(e.event),
                room_name(other.read->room), site_name(first.read->node), site_name(other.read->node));
        }
        before = std::max(before, place);
      }
    }
  }

  /// Whoever was told "done" before another message was even sent stands before it. All clocks are one.
  void overtaken(const std::vector<const Operation*>& sends, const Reading& reading) {
    std::unordered_map<std::uint64_t, std::uint32_t> place;
    for (std::size_t i = 0; i < reading.read->events.size(); ++i) {
      const auto& e = reading.read->events[i];
      if (e.number != 0) place.emplace(e.number, static_cast<std::uint32_t>(i));
    }
    std::vector<const Operation*> acked, started;
    for (const auto* o : sends) {
      if (!place.contains(o->number)) continue;
      started.push_back(o);
      if (o->outcome == Outcome::Ok) acked.push_back(o);
    }
    in_order_of(acked, &Operation::end);
    in_order_of(started, &Operation::start);
    const Operation* furthest = nullptr;
    std::size_t next = 0;
    for (const auto* o : started) {
      for (; next < acked.size() && acked[next]->end < o->start; ++next) {
        if (!furthest || place[acked[next]->number] > place[furthest->number]) furthest = acked[next];
      }
      if (furthest && place[furthest->number] > place[o->number]) {
        found(Rule::Overtaken, o->end == kNever ? o->start : o->end,
              "message {} was acknowledged before {} was sent, but stands behind it in room {} at site {}",
              furthest->number, o->number, room_name(o->room), site_name(reading.read->node));
      }
    }
  }

  /// Of a receiver: everything once, nothing passed over, in the order that stands in the end.
  void receiver(std::uint32_t client, std::vector<const Seen*>& seen, const std::vector<Reading>& readings) {
    in_order_of(seen, &Seen::at);
    const auto& reading = readings.front();
    const auto& events = reading.read->events;
    std::vector<bool> shown(events.size());
    std::unordered_set<Ref> gone;
    std::size_t next = 0;  // the place after the furthest one shown
    const auto passed_over = [&](std::size_t from, std::size_t until, Nanos at) {
      for (std::size_t i = from; i < until; ++i) {
        if (events[i].number == 0 || shown[i]) continue;
        found(Rule::Hole, at, "receiver {} was never shown message {} ({}) of room {}", client, events[i].number,
              event(events[i].event), room_name(reading.read->room));
      }
    };
    for (const auto* s : seen) {
      const auto place = reading.place(s->event);
      if (place == kAbsent) {
        if (gone.insert(s->event).second) {
          found(Rule::SeenThenGone, s->at, "{} was shown to receiver {} by site {} and is not in room {} at the end",
                event(s->event), client, site_name(s->node), room_name(s->room));
        }
        continue;
      }
      if (shown[place]) {
        found(Rule::ShownTwice, s->at, "receiver {} was shown {} twice, then by site {}", client, event(s->event),
              site_name(s->node));
        continue;
      }
      shown[place] = true;
      if (place < next) {
        found(Rule::OtherOrder, s->at, "receiver {} was shown {} behind messages that follow it in room {}", client,
              event(s->event), room_name(s->room));
        continue;
      }
      if (!s->after_gap) gaps_.push_back({next, place, s->at});
      next = std::size_t{place} + 1;
    }
    if (client < h_.clients.size() && h_.clients[client].caught_up)
      gaps_.push_back({next, events.size(), h_.load_until});
    // Only now: what came late was reported as out of order, not as missing.
    for (const auto& g : gaps_) passed_over(g.from, g.until, g.at);
    gaps_.clear();
  }

  /// A receiver that caught up and saw nothing of a room of its own.
  void never_shown(std::uint32_t room, const std::map<std::uint32_t, std::vector<const Seen*>>& seen,
                   const Reading& reading) {
    const auto any = std::ranges::any_of(reading.read->events, [](const FinalEvent& e) { return e.number != 0; });
    if (!any) return;
    for (std::uint32_t c = 0; c < h_.clients.size(); ++c) {
      const auto& who = h_.clients[c];
      if (!who.caught_up || seen.contains(c) || std::ranges::find(who.rooms, room) == who.rooms.end()) continue;
      found(Rule::Hole, h_.load_until, "receiver {} was shown nothing of room {}", c, room_name(room));
    }
  }

  void read_own(const std::vector<const Operation*>& reads) {
    for (const auto* o : reads) {
      if (o->outcome != Outcome::Failed) continue;
      found(Rule::StaleRead, o->end, "message {} of client {} was acknowledged, but site {} answered {}", o->number,
            o->client, site_name(o->node), o->status);
    }
  }

  // --- sync tokens -----------------------------------------------------------

  void tokens() {
    std::map<std::uint32_t, std::vector<const SyncStep*>> by_client;
    for (const auto& s : h_.steps) by_client[s.client].push_back(&s);
    for (auto& [client, steps] : by_client) {
      in_order_of(steps, &SyncStep::at);
      std::int64_t furthest = -1;
      for (const auto* s : steps) {
        furthest = std::max(furthest, s->from);
        if (s->to >= 0 && s->to < furthest) {
          found(Rule::TokenBack, s->at, "receiver {} was given position {} by site {} after {}", client, s->to,
                site_name(s->node), furthest);
        }
        furthest = std::max(furthest, s->to);
      }
    }
  }

  // --- account data ----------------------------------------------------------

  /// One client writes its versions one after the other. A write whose first attempt was
  /// left behind unanswered may take effect late, because account data carry no key: its
  /// version is allowed again. Every other read shows the last acknowledged version or a newer one.
  void account_data() {
    std::map<std::uint32_t, std::vector<const Operation*>> by_client;
    for (const auto& o : h_.operations) {
      if (o.kind == Kind::Write || o.kind == Kind::Read) by_client[o.client].push_back(&o);
    }
    for (auto& [client, operations] : by_client) {
      in_order_of(operations, &Operation::start);
      std::uint64_t acked = 0, newest = 0;
      std::unordered_set<std::uint64_t> ghosts;
      for (const auto* o : operations) {
        if (o->kind == Kind::Write) {
          newest = std::max(newest, o->number);
          if (o->outcome == Outcome::Ok) acked = std::max(acked, o->number);
          if (o->attempts > 1 || o->outcome == Outcome::Unknown) ghosts.insert(o->number);
          continue;
        }
        if (o->outcome != Outcome::Ok) continue;
        if (o->number > newest) {
          found(Rule::StaleRead, o->end, "client {} read version {} of its data, which it never wrote", client,
                o->number);
        } else if (o->number < acked && !ghosts.contains(o->number)) {
          found(o->final ? Rule::LostWrite : Rule::StaleRead, o->end,
                "client {} read version {} of its data from site {} after {} was acknowledged", client, o->number,
                site_name(o->node), acked);
        }
      }
    }
  }

  // --- media -----------------------------------------------------------------

  void media() {
    std::unordered_map<std::uint64_t, const Operation*> uploads;
    std::unordered_set<std::uint64_t> bad, read;
    for (const auto& o : h_.operations) {
      if (o.kind == Kind::Upload && o.outcome == Outcome::Ok) uploads.emplace(o.number, &o);
    }
    for (const auto& o : h_.operations) {
      if (o.kind != Kind::Download || !uploads.contains(o.number)) continue;
      if (o.final && o.outcome == Outcome::Ok && !o.different) read.insert(o.number);
      const Nanos at = o.end == kNever ? o.start : o.end;
      if (!o.different && !o.final) {
        // Not there yet is another failure than gone. No answer, while sites were away, says nothing about the media.
        if (o.outcome == Outcome::Failed) {
          found(Rule::StaleRead, at, "{} was acknowledged, but site {} answered {}", event(uploads[o.number]->result),
                site_name(o.node), o.status);
        }
        continue;
      }
      const bool wrong = o.different || o.outcome != Outcome::Ok;
      if (!wrong || !bad.insert(o.number).second) continue;
      found(Rule::Unreadable, at, "{}: site {} answered {}{}", event(uploads[o.number]->result), site_name(o.node),
            o.status, o.different ? " with other content" : "");
    }
    for (const auto& [number, upload] : uploads) {
      if (read.contains(number) || bad.contains(number)) continue;
      found(Rule::NotRead, h_.load_until, "media {}", event(upload->result));
    }
  }

  // --- failures shown --------------------------------------------------------

  void troubles() {
    for (const auto& t : h_.troubles) {
      const auto site = h_.site_of(t.node);
      const bool lost = h_.lost_within(site, t.since, t.at);
      if (t.what == What::Silent) {
        v_.silences += !lost;
        continue;
      }
      // Whoever ran out of patience was failed by the platform, wherever its last attempt went.
      if (lost && t.what != What::GaveUp) continue;
      found(Rule::ClientError, t.at, "{} of client {} at site {}: {}{}{}", name_of(t.kind), t.client, site_name(t.node),
            name_of(t.what), t.status ? fmt::format(" {}", t.status) : "", t.detail.empty() ? "" : " " + t.detail);
    }
  }

  // --- time ------------------------------------------------------------------

  struct Silence {
    Nanos from = 0, until = 0;
    Nanos length() const { return until - from; }
  };
  /// The longest stretch of [from, until] without a time in `at`, which is in order. The stretch that
  /// `from` falls into begins with the last time before it.
  static Silence longest(const std::vector<Nanos>& at, Nanos from, Nanos until) {
    Silence out;
    auto next = std::ranges::upper_bound(at, from);
    Nanos before = next == at.begin() ? from : *std::prev(next);
    for (;; ++next) {
      const bool last = next == at.end() || *next >= until;
      const Silence one{before, last ? until : *next};
      if (one.length() > out.length()) out = one;
      if (last) return out;
      before = *next;
    }
  }

  void timing() {
    std::vector<Nanos> all;
    std::vector<std::vector<Nanos>> by_site(h_.sites.size());
    for (const auto& o : h_.operations) {
      if (o.kind != Kind::Send || o.outcome != Outcome::Ok || o.end > h_.load_until) continue;
      all.push_back(o.end);
      const auto home = o.client < h_.clients.size() ? h_.clients[o.client].home : 0;
      if (home < by_site.size()) by_site[home].push_back(o.end);
    }
    std::ranges::sort(all);
    for (auto& times : by_site) std::ranges::sort(times);

    Nanos fault = kNever;
    for (const auto& f : h_.faults) fault = std::min(fault, f);
    for (const auto& l : h_.losses) fault = std::min(fault, l.from);
    const Nanos from = std::min(fault, h_.load_until);
    v_.quiet_before_s = seconds(longest(all, h_.load_from, from).length());
    v_.write_outage_by_site_s.resize(h_.sites.size());
    if (fault == kNever) return;
    const auto worst = longest(all, from, h_.load_until);
    v_.write_outage_s = seconds(worst.length());
    v_.outage_from = worst.from;
    v_.outage_until = worst.until;
    for (std::size_t s = 0; s < by_site.size(); ++s) {
      v_.write_outage_by_site_s[s] = seconds(longest(by_site[s], from, h_.load_until).length());
    }
    moved(all);
  }

  void moved(const std::vector<Nanos>& all) {
    for (const auto& loss : h_.losses) {
      // By sender of the lost site: its first acknowledgement by another site.
      std::map<std::uint32_t, Nanos> first;
      for (const auto& o : h_.operations) {
        if (o.kind != Kind::Send || o.client >= h_.clients.size() || h_.clients[o.client].home != loss.site) continue;
        auto& at = first.emplace(o.client, kNever).first->second;
        if (o.outcome != Outcome::Ok || o.end < loss.from || h_.site_of(o.node) == loss.site) continue;
        at = std::min(at, o.end);
      }
      if (first.empty()) continue;
      Nanos last = 0;
      for (const auto& [client, at] : first) last = std::max(last, at);
      // The database was back with the first acknowledgement after the longest silence that this loss began.
      const auto silence = longest(all, loss.from, std::min({last, h_.load_until, loss.from + 60 * kSecond}));
      const Nanos database = silence.length() >= kSecond / 4 ? std::max(silence.until, loss.from) : loss.from;
      const auto add = [](std::optional<double>& to, double value) { to = std::max(to.value_or(0), value); };
      constexpr double kForEver = std::numeric_limits<double>::infinity();
      add(v_.clients_moved_s, last == kNever ? kForEver : seconds(last - loss.from));
      add(v_.clients_moved_after_database_s, last == kNever ? kForEver : seconds(std::max<Nanos>(0, last - database)));
    }
  }

  const History& h_;
  const CheckOptions& options_;
  Verdict v_;
  struct Gap {
    std::size_t from, until;
    Nanos at;
  };
  std::vector<Gap> gaps_;
};

}  // namespace

Verdict judge(const History& history, const CheckOptions& options) { return Judge(history, options).run(); }

}  // namespace haechi::drill
