#include "drill/checker.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <sstream>

#include "drill/tests/builder.hpp"

using namespace haechi::drill;

namespace {

std::string told(const Verdict& v) {
  std::ostringstream out;
  for (const auto& one : v.violations) out << name_of(one.rule) << ": " << one.text << '\n';
  return out.str();
}

/// What a known history does to each rule; rules that are not named must stay silent.
struct Case {
  const char* name;
  std::function<void(Builder&)> make;                    // before the final reading
  std::function<void(History&)> bend = [](History&) {};  // after it
  std::vector<std::pair<Rule, std::uint64_t>> expected = {};
};

Operation& last(Builder& b) { return b.h.operations.back(); }
void erase_event(History& h, std::size_t reading, std::size_t place) {
  auto& events = h.finals[reading].events;
  events.erase(events.begin() + static_cast<std::ptrdiff_t>(place));
}
void swap_events(History& h, std::size_t reading, std::size_t a, std::size_t b) {
  auto& events = h.finals[reading].events;
  std::swap(events[a], events[b]);
}
void three_sends(Builder& b) {
  for (std::uint32_t c = 0; c < 3; ++c) b.send(c);
}
void upload_and_read(Builder& b) {
  b.operation(Kind::Upload, Builder::kUploader, 1);
  for (const std::uint32_t node : {0U, 2U, 4U}) {
    b.operation(Kind::Download, Builder::kUploader, 1, node);
    last(b).final = true;
  }
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"nothing happened", [](Builder&) {}},
      {"three sends, all there", three_sends},
      {"an unanswered send that is there",
       [](Builder& b) {
         b.send();
         b.send(1, 0, Outcome::Unknown);
         b.send();
       }},
      {"an unanswered send that is not there",
       [](Builder& b) {
         b.send();
         b.send(1, 0, Outcome::Unknown);
         b.stored[0].pop_back();
         b.send();
       }},
      {"a refused send that is not there", [](Builder& b) { b.send(0, 0, Outcome::Failed); }},

      {"an acknowledged event is missing everywhere",
       three_sends,
       [](History& h) {
         for (std::size_t f = 0; f < 3; ++f) erase_event(h, f, 2);
         std::erase_if(h.seen, [](const Seen& s) { return s.number == 2; });
       },
       {{Rule::Lost, 1}}},
      {"an acknowledged event is missing at one site",
       three_sends,
       [](History& h) { erase_event(h, 1, 2); },
       {{Rule::Lost, 1}, {Rule::SitesDiffer, 1}}},
      {"the event that was named in the answer is another message",
       three_sends,
       [](History& h) { h.operations[0].result = h.operations[1].result; },
       {{Rule::Lost, 1}}},
      {"a receiver saw what is gone at the end",
       three_sends,
       [](History& h) {
         for (std::size_t f = 0; f < 3; ++f) erase_event(h, f, 3);
       },
       {{Rule::Lost, 1}, {Rule::SeenThenGone, 3}}},
      {"a room was never read at the end", three_sends, [](History& h) { h.finals.clear(); }, {{Rule::NotRead, 1}}},

      {"one message is two events",
       [](Builder& b) {
         b.send();
         b.stored[0].push_back({b.h.texts.add("$double"), 1});
       },
       [](History&) {},
       {{Rule::Twice, 1}}},
      {"one event stands twice",
       three_sends,
       [](History& h) { h.finals[2].events.push_back(h.finals[2].events.back()); },
       {{Rule::ShownTwice, 1}}},
      {"a repeat gets the same answer",
       [](Builder& b) {
         auto again = b.h.operations[b.send()];
         again.kind = Kind::Resend;
         b.h.operations.push_back(again);
       }},
      {"a repeat gets another answer",
       [](Builder& b) {
         auto again = b.h.operations[b.send()];
         again.kind = Kind::Resend;
         again.result = b.h.texts.add("$other");
         b.h.operations.push_back(again);
       },
       [](History&) {},
       {{Rule::AnsweredTwice, 1}}},

      {"a message stands before one that was acknowledged earlier",
       three_sends,
       [](History& h) {
         for (std::size_t f = 0; f < 3; ++f) swap_events(h, f, 1, 3);
         h.seen.clear();
         for (auto& c : h.clients) c.caught_up = false;
       },
       {{Rule::Overtaken, 6}}},
      {"messages that were under way together may stand either way",
       [](Builder& b) {
         b.send(0);
         b.send(1);
         b.h.operations[1].start = b.h.operations[0].start;
         std::swap(b.stored[0][0], b.stored[0][1]);
       }},
      {"one site orders them differently",
       [](Builder& b) {
         b.send(0);
         b.send(1);
         b.h.operations[1].start = b.h.operations[0].start;
       },
       [](History& h) { swap_events(h, 1, 1, 2); },
       {{Rule::OtherOrder, 1}}},
      {"a receiver is shown another order",
       three_sends,
       [](History& h) { std::swap(h.seen[0].event, h.seen[1].event); },
       {{Rule::OtherOrder, 1}}},
      {"a receiver is shown a message twice",
       three_sends,
       [](History& h) { h.seen.push_back(h.seen.front()); },
       {{Rule::ShownTwice, 1}}},
      {"a receiver is passed over in the middle",
       three_sends,
       [](History& h) { h.seen.erase(h.seen.begin() + 1); },
       {{Rule::Hole, 1}}},
      {"a receiver is passed over at the beginning",
       three_sends,
       [](History& h) { h.seen.erase(h.seen.begin()); },
       {{Rule::Hole, 1}}},
      {"a receiver that caught up is passed over at the end",
       three_sends,
       [](History& h) { h.seen.erase(h.seen.begin() + 2); },
       {{Rule::Hole, 1}}},
      {"a receiver that did not catch up misses the end", three_sends,
       [](History& h) {
         h.seen.erase(h.seen.begin() + 2);
         h.clients[Builder::kReceiver].caught_up = false;
       }},
      {"a receiver was told that its timeline is limited", three_sends,
       [](History& h) {
         h.seen.erase(h.seen.begin());
         h.seen.front().after_gap = true;
       }},
      {"a receiver was shown nothing",
       three_sends,
       [](History& h) { std::erase_if(h.seen, [](const Seen& s) { return s.client == Builder::kReceiver; }); },
       {{Rule::Hole, 1}}},
      {"a token goes back",
       [](Builder& b) {
         b.send();
         b.sync();
         b.send();
       },
       [](History& h) { h.steps.back().to = 0; },
       {{Rule::TokenBack, 1}}},
      {"a token stands still",
       [](Builder& b) {
         b.sync();
         b.sync();
       }},

      {"one's own message is there elsewhere",
       [](Builder& b) {
         b.send();
         auto r = last(b);
         r.kind = Kind::ReadEvent;
         b.h.operations.push_back(r);
       }},
      {"one's own message is not there elsewhere",
       [](Builder& b) {
         auto read = b.h.operations[b.send()];
         read.kind = Kind::ReadEvent;
         read.outcome = Outcome::Failed;
         read.status = 404;
         b.h.operations.push_back(read);
       },
       [](History&) {},
       {{Rule::StaleRead, 1}}},
      {"account data are read as written",
       [](Builder& b) {
         b.operation(Kind::Read, 7, 0);
         b.operation(Kind::Write, 7, 1);
         b.operation(Kind::Read, 7, 1);
       }},
      {"account data are read older than acknowledged",
       [](Builder& b) {
         b.operation(Kind::Write, 7, 1);
         b.operation(Kind::Write, 7, 2);
         b.operation(Kind::Read, 7, 1);
       },
       [](History&) {},
       {{Rule::StaleRead, 1}}},
      {"account data were never written so",
       [](Builder& b) { b.operation(Kind::Read, 7, 9); },
       [](History&) {},
       {{Rule::StaleRead, 1}}},
      {"account data of an unanswered write may show or not",
       [](Builder& b) {
         b.operation(Kind::Write, 7, 1);
         b.operation(Kind::Write, 7, 2);
         last(b).outcome = Outcome::Unknown;
         b.operation(Kind::Read, 7, 1);
         b.operation(Kind::Read, 7, 2);
       }},
      {"a write whose first attempt was left behind may come late",
       [](Builder& b) {
         b.operation(Kind::Write, 7, 1);
         last(b).attempts = 2;
         b.operation(Kind::Write, 7, 2);
         b.operation(Kind::Read, 7, 1);
       }},
      {"account data are older at the end",
       [](Builder& b) {
         b.operation(Kind::Write, 7, 1);
         b.operation(Kind::Write, 7, 2);
         b.operation(Kind::Read, 7, 1);
         last(b).final = true;
       },
       [](History&) {},
       {{Rule::LostWrite, 1}}},

      {"media are read at every site", upload_and_read},
      {"media were never read at the end",
       [](Builder& b) { b.operation(Kind::Upload, 6, 1); },
       [](History&) {},
       {{Rule::NotRead, 1}}},
      {"media cannot be read at one site",
       [](Builder& b) {
         upload_and_read(b);
         last(b).outcome = Outcome::Failed;
       },
       [](History&) {},
       {{Rule::Unreadable, 1}}},
      {"media are something else",
       [](Builder& b) {
         upload_and_read(b);
         last(b).different = true;
       },
       [](History&) {},
       {{Rule::Unreadable, 1}}},
      {"media are not there yet at another site, but in the end",
       [](Builder& b) {
         upload_and_read(b);
         b.operation(Kind::Download, 6, 1);
         last(b).outcome = Outcome::Failed;
       },
       [](History&) {},
       {{Rule::StaleRead, 1}}},
      {"media get no answer while a site is away",
       [](Builder& b) {
         b.operation(Kind::Download, 6, 1);
         last(b).outcome = Outcome::Unknown;
         upload_and_read(b);
       }},
      {"media get no answer at the end",
       [](Builder& b) {
         upload_and_read(b);
         last(b).outcome = Outcome::Unknown;
       },
       [](History&) {},
       {{Rule::Unreadable, 1}}},
      {"media that were not acknowledged need not be there",
       [](Builder& b) {
         b.operation(Kind::Upload, 6, 1);
         last(b).outcome = Outcome::Unknown;
         b.operation(Kind::Download, 6, 1);
         last(b).outcome = Outcome::Failed;
       }},

      {"a surviving site answers 503",
       [](Builder& b) {
         b.lose(1, kSecond);
         b.trouble(What::Status, 0, 503);
       },
       [](History&) {},
       {{Rule::ClientError, 1}}},
      {"a surviving site closes a connection",
       [](Builder& b) {
         b.lose(1, kSecond);
         b.pass(kSecond / 2);
         b.trouble(What::Broken, 5);
       },
       [](History&) {},
       {{Rule::ClientError, 1}}},
      {"a surviving site answers without what it must carry",
       [](Builder& b) { b.trouble(What::Content, 5, 200); },
       [](History&) {},
       {{Rule::ClientError, 1}}},
      {"the lost site fails in any way",
       [](Builder& b) {
         b.lose(1, kSecond);
         b.pass(kSecond / 2);
         for (const auto what : {What::Refused, What::Broken, What::Silent, What::Status}) b.trouble(what, 3, 503);
       }},
      {"a request from before the fault ends with it",
       [](Builder& b) {
         b.pass(kSecond);
         b.lose(1, kSecond);
         b.h.troubles.push_back({b.now() - kSecond, b.now() + 2 * kSecond, 0, 2, Kind::Sync, What::Broken, 0, ""});
       }},
      {"a site that was let back fails",
       [](Builder& b) {
         b.lose(1, kSecond);
         b.pass(2 * kSecond);
         b.trouble(What::Refused, 2);
       },
       [](History&) {},
       {{Rule::ClientError, 1}}},
      {"patience ends, at whatever site",
       [](Builder& b) {
         b.lose(1, kSecond);
         b.trouble(What::GaveUp, 2);
       },
       [](History&) {},
       {{Rule::ClientError, 1}}},
      {"a client moves because a surviving node is slow", [](Builder& b) { b.trouble(What::Silent, 0); }},
  };
  return all;
}

}  // namespace

TEST_CASE("each rule finds what is bad and is silent about what is good") {
  for (const auto& c : cases()) {
    CAPTURE(c.name);
    Builder b;
    c.make(b);
    auto& h = b.finish();
    c.bend(h);
    const auto v = judge(h);
    INFO(told(v));
    std::map<Rule, std::uint64_t> expected(c.expected.begin(), c.expected.end());
    for (std::size_t r = 0; r < kRules; ++r) {
      CAPTURE(name_of(static_cast<Rule>(r)));
      CHECK(v.counts[r] == expected[static_cast<Rule>(r)]);
    }
    CHECK(v.kept() == c.expected.empty());
  }
}

TEST_CASE("random good histories are found good, and whatever is done to them is found") {
  // A change to a good history and the rules of which at least one must speak.
  struct Injury {
    Rule rule;
    std::function<bool(Builder&, History&)> make;  // false: this history offers no place for it
  };
  const auto any_send = [](Builder& b, History& h) {
    for (int tries = 0; tries < 200; ++tries) {
      auto& o = h.operations[b.below(h.operations.size())];
      if (o.kind == Kind::Send && o.outcome == Outcome::Ok) return &o;
    }
    return static_cast<Operation*>(nullptr);
  };
  const auto first_of = [](History& h, Kind kind) {
    const auto at = std::ranges::find_if(h.operations, [&](const Operation& o) { return o.kind == kind; });
    return at == h.operations.end() ? nullptr : &*at;
  };
  const std::vector<Injury> injuries = {
      {Rule::Lost,
       [&](Builder& b, History& h) {
         const auto* o = any_send(b, h);
         for (auto& f : h.finals)
           std::erase_if(f.events, [&](const FinalEvent& e) { return o && e.number == o->number; });
         return o != nullptr;
       }},
      {Rule::Lost,
       [&](Builder& b, History& h) {
         const auto* o = any_send(b, h);
         auto& f = h.finals[b.below(h.finals.size())];
         return o && std::erase_if(f.events, [&](const FinalEvent& e) { return e.number == o->number; }) > 0;
       }},
      {Rule::Twice,
       [&](Builder& b, History& h) {
         const auto* o = any_send(b, h);
         const auto other = h.texts.add("$again");
         for (auto& f : h.finals) {
           if (o && f.room == o->room) f.events.push_back({other, o->number});
         }
         return o != nullptr;
       }},
      {Rule::AnsweredTwice,
       [&](Builder&, History& h) {
         auto* o = first_of(h, Kind::Resend);
         if (o) o->result = h.texts.add("$again");
         return o != nullptr;
       }},
      {Rule::Overtaken,
       [&](Builder& b, History& h) {
         auto& f = h.finals[b.below(h.finals.size())];
         if (f.events.size() < 4) return false;
         const auto acked = [&](const FinalEvent& e) {
           return std::ranges::any_of(h.operations, [&](const Operation& o) {
             return o.kind == Kind::Send && o.number == e.number && o.outcome == Outcome::Ok;
           });
         };
         auto& x = f.events[1 + b.below(f.events.size() - 1)];
         auto& y = f.events[1 + b.below(f.events.size() - 1)];
         if (x.number == y.number || !acked(x) || !acked(y)) return false;
         std::swap(x, y);
         return true;
       }},
      {Rule::OtherOrder,
       [&](Builder& b, History& h) {
         if (h.seen.size() < 2) return false;
         const auto i = b.below(h.seen.size() - 1);
         auto &x = h.seen[i], &y = h.seen[i + 1];
         if (x.client != y.client || x.room != y.room) return false;
         std::swap(x.event, y.event);
         return true;
       }},
      {Rule::Hole,
       [&](Builder& b, History& h) {
         if (h.seen.empty()) return false;
         h.seen.erase(h.seen.begin() + static_cast<std::ptrdiff_t>(b.below(h.seen.size())));
         return true;
       }},
      {Rule::ShownTwice,
       [&](Builder& b, History& h) {
         if (h.seen.empty()) return false;
         auto again = h.seen[b.below(h.seen.size())];
         again.at = h.load_until;
         h.seen.push_back(again);
         return true;
       }},
      {Rule::SeenThenGone,
       [&](Builder& b, History& h) {
         if (h.seen.empty()) return false;
         auto ghost = h.seen[b.below(h.seen.size())];
         ghost.event = h.texts.add("$ghost");
         h.seen.push_back(ghost);
         return true;
       }},
      {Rule::SitesDiffer,
       [&](Builder& b, History& h) {
         auto& f = h.finals[b.below(h.finals.size())];
         f.events.push_back({h.texts.add("$only-here"), 0});
         return true;
       }},
      {Rule::TokenBack,
       [&](Builder& b, History& h) {
         if (h.steps.empty()) return false;
         auto& s = h.steps[b.below(h.steps.size())];
         if (s.from <= 0) return false;
         s.to = s.from - 1;
         return true;
       }},
      {Rule::StaleRead,
       [&](Builder&, History& h) {
         auto* o = first_of(h, Kind::ReadEvent);
         if (o) o->outcome = Outcome::Failed;
         return o != nullptr;
       }},
      {Rule::LostWrite,
       [&](Builder&, History& h) {
         for (auto& o : h.operations) {
           if (o.kind == Kind::Read && o.final && o.number > 0) return --o.number, true;
         }
         return false;
       }},
      {Rule::Unreadable,
       [&](Builder& b, History& h) {
         auto& o = h.operations[b.below(h.operations.size())];
         if (o.kind != Kind::Download || !o.final) return false;
         (b.below(2) ? o.different : (o.outcome = Outcome::Failed, o.different)) = true;
         return true;
       }},
      {Rule::ClientError,
       [&](Builder& b, History& h) {
         const auto at = h.losses.front().from + static_cast<Nanos>(b.below(300)) * kMillisecond;
         const auto node = static_cast<std::uint32_t>(b.below(2) * 4 + b.below(2));
         h.troubles.push_back({at - 1, at, 0, node, Kind::Send, What::Status, 503, ""});
         return true;
       }},
  };
  std::map<Rule, int> injured;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Builder good(seed, 1 + static_cast<std::uint32_t>(seed % 3));
    good.good_run(30 + seed % 90);
    const auto verdict = judge(good.h);
    INFO(told(verdict));
    REQUIRE(verdict.kept());

    const auto& injury = injuries[seed % injuries.size()];
    bool done = false;
    for (int tries = 0; tries < 300 && !done; ++tries) done = injury.make(good, good.h);
    if (!done) continue;
    ++injured[injury.rule];
    CAPTURE(name_of(injury.rule));
    CHECK(judge(good.h).of(injury.rule) > 0);
  }
  CHECK(injured.size() == 14);
  for (const auto& [rule, times] : injured) {
    CAPTURE(name_of(rule));
    CHECK(times >= 10);
  }
}

TEST_CASE("the outage is the longest silence from the last acknowledgement before the fault on") {
  Builder b;
  b.pass(kSecond);  // a silence before the fault is the machine's own
  for (int i = 0; i < 10; ++i) b.send(0), b.send(1), b.send(2);
  const auto before = b.h.operations.back().end;
  b.lose(0, 5 * kSecond);
  b.pass(2 * kSecond);
  b.send(1);
  const auto back = b.h.operations.back().end;
  b.send(2);
  b.pass(kSecond / 2);
  b.send(0, 0, Outcome::Ok, 2);
  const auto moved = b.h.operations.back().end;
  b.send(1);
  const auto v = judge(b.finish());
  const auto s = [](Nanos t) { return static_cast<double>(t) / 1e9; };
  CHECK(v.write_outage_s == doctest::Approx(s(back - before)));
  CHECK(v.outage_from == before);
  CHECK(v.outage_until == back);
  CHECK(v.quiet_before_s == doctest::Approx(1.0).epsilon(0.01));
  CHECK(*v.clients_moved_s == doctest::Approx(s(moved - b.h.losses[0].from)));
  CHECK(*v.clients_moved_after_database_s == doctest::Approx(s(moved - back)));
  CHECK(v.write_outage_by_site_s[2] > v.write_outage_s);
  CHECK(v.write_outage_by_site_s[1] == doctest::Approx(v.write_outage_s).epsilon(0.01));
}

TEST_CASE("an outage that never ends lasts until the load was stopped") {
  Builder b;
  b.send(0);
  b.lose(0, kNever - 2 * kSecond);
  b.pass(7 * kSecond);
  const auto v = judge(b.finish());
  CHECK(v.write_outage_s > 7.0);
  CHECK(std::isinf(*v.clients_moved_s));
}

TEST_CASE("no site lost: nobody had to move, silence is still measured") {
  Builder b;
  b.send(0);
  b.h.faults.push_back(b.now());
  b.pass(kSecond);
  b.send(1);
  const auto v = judge(b.finish());
  CHECK_FALSE(v.clients_moved_s.has_value());
  CHECK(v.write_outage_s > 1.0);
}

TEST_CASE("counts have everything, the list only the first of each rule") {
  Builder b;
  for (int i = 0; i < 50; ++i) b.send();
  b.finish();
  for (auto& f : b.h.finals) f.events.resize(1);
  b.h.seen.clear();
  for (auto& c : b.h.clients) c.caught_up = false;
  const auto v = judge(b.h, {.shown_of_each_rule = 3});
  CHECK(v.lost() == 50);
  CHECK(v.violations.size() == 3);
}
