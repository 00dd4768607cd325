#include "drill/history.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <ostream>
#include <tuple>

#include "base/text.hpp"

namespace haechi::drill {

Ref Texts::add(std::string_view text) {
  if (const auto at = index_.find(text); at != index_.end()) return at->second;
  const auto ref = static_cast<Ref>(texts_.size());
  texts_.emplace_back(text);
  index_.emplace(texts_.back(), ref);
  return ref;
}

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::Send: return "send";
    case Kind::Resend: return "resend";
    case Kind::ReadEvent: return "read-event";
    case Kind::Upload: return "upload";
    case Kind::Download: return "download";
    case Kind::Write: return "write";
    case Kind::Read: return "read";
    case Kind::Receipt: return "receipt";
    case Kind::Typing: return "typing";
    case Kind::Sync: return "sync";
    case Kind::Setup: return "setup";
  }
  return "?";
}

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::Unknown: return "info";
    case Outcome::Ok: return "ok";
    case Outcome::Failed: return "fail";
  }
  return "?";
}

std::string_view name_of(What what) {
  switch (what) {
    case What::Status: return "status";
    case What::Content: return "content";
    case What::Refused: return "refused";
    case What::Broken: return "broken";
    case What::Silent: return "silent";
    case What::GaveUp: return "gave up";
  }
  return "?";
}

bool History::lost_at(std::uint32_t site, Nanos at) const {
  return std::ranges::any_of(losses, [&](const Loss& l) { return l.site == site && at >= l.from && at < l.until; });
}

bool History::lost_within(std::uint32_t site, Nanos from, Nanos until) const {
  return std::ranges::any_of(losses,
                             [&](const Loss& l) { return l.site == site && from < l.until && until >= l.from; });
}

std::string transaction_id(const Operation& operation) {
  return fmt::format("drill.{}.{}", operation.client, operation.number);
}

namespace {

/// Collects lines and hands them on in large pieces.
class Lines {
 public:
  explicit Lines(std::ostream& out) : out_(out) {}
  ~Lines() { flush(); }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }
  void text(std::string_view key, std::string_view value) {
    add(",\"{}\":", key);
    append_json_string(text_, value);
  }
  void end(std::string_view closing = "}") {
    text_ += closing;
    text_ += '\n';
    if (text_.size() > 60'000) flush();
  }

 private:
  void flush() {
    out_.write(text_.data(), static_cast<std::streamsize>(text_.size()));
    text_.clear();
  }
  std::ostream& out_;
  std::string text_;
};

void write_world(Lines& out, const History& h) {
  for (std::size_t i = 0; i < h.sites.size(); ++i) {
    out.add(R"({{"type":"site","site":{})", i);
    out.text("name", h.sites[i]);
    out.end();
  }
  for (std::size_t i = 0; i < h.nodes.size(); ++i) {
    out.add(R"({{"type":"node","node":{},"site":{})", i, h.nodes[i].site);
    out.text("url", h.nodes[i].url);
    out.end();
  }
  for (std::size_t i = 0; i < h.clients.size(); ++i) {
    out.add(R"({{"type":"client","client":{},"home":{},"caught_up":{})", i, h.clients[i].home, h.clients[i].caught_up);
    out.text("role", h.clients[i].role);
    out.text("user", h.clients[i].name);
    out.end();
  }
  for (std::size_t i = 0; i < h.rooms.size(); ++i) {
    out.add(R"({{"type":"room","room":{})", i);
    out.text("id", h.rooms[i]);
    out.end();
  }
}

}  // namespace

void write_json_lines(std::ostream& stream, const History& h) {
  Lines out(stream);
  write_world(out, h);
  const auto since = [&](Nanos at) { return at - h.load_from; };
  for (const auto& l : h.losses) {
    out.add(R"({{"type":"loss","site":{},"from":{})", l.site, since(l.from));
    if (l.until != kNever) out.add(R"(,"until":{})", since(l.until));
    out.end();
  }
  for (const auto& m : h.marks) {
    out.add(R"({{"type":"mark","at":{})", since(m.at));
    out.text("text", m.text);
    out.end();
  }
  for (const auto& o : h.operations) {
    out.add(R"({{"type":"operation","f":"{}","outcome":"{}","client":{},"start":{},"node":{},"site":{},"number":{})",
            name_of(o.kind), name_of(o.outcome), o.client, since(o.start), o.node, h.site_of(o.node), o.number);
    if (o.end != kNever) out.add(R"(,"end":{})", since(o.end));
    if (o.kind <= Kind::ReadEvent) out.add(R"(,"room":{})", o.room);
    if (o.kind <= Kind::Resend) out.text("key", transaction_id(o));
    if (o.result != kNoRef) out.text("result", h.texts[o.result]);
    out.add(R"(,"status":{},"attempts":{})", o.status, o.attempts);
    if (o.final) out.add(R"(,"final":true)");
    if (o.different) out.add(R"(,"different":true)");
    out.end();
  }
  for (const auto& s : h.seen) {
    out.add(R"({{"type":"seen","at":{},"client":{},"node":{},"room":{},"number":{})", since(s.at), s.client, s.node,
            s.room, s.number);
    out.text("event", h.texts[s.event]);
    if (s.after_gap) out.add(R"(,"after_gap":true)");
    out.end();
  }
  for (const auto& s : h.steps) {
    out.add(R"({{"type":"sync","at":{},"client":{},"node":{},"from":{},"to":{})", since(s.at), s.client, s.node, s.from,
            s.to);
    out.end();
  }
  for (const auto& t : h.troubles) {
    out.add(R"({{"type":"trouble","since":{},"at":{},"client":{},"node":{},"f":"{}","what":"{}","status":{})",
            since(t.since), since(t.at), t.client, t.node, name_of(t.kind), name_of(t.what), t.status);
    out.text("detail", t.detail);
    out.end();
  }
  for (const auto& f : h.finals) {
    out.add(R"({{"type":"final","room":{},"node":{},"events":[)", f.room, f.node);
    for (std::size_t i = 0; i < f.events.size(); ++i) {
      out.add(R"({}["{}",{}])", i ? "," : "", h.texts[f.events[i].event], f.events[i].number);
    }
    out.end("]}");
  }
}

void write_edn(std::ostream& stream, const History& h) {
  struct Line {
    Nanos at;
    std::string_view type;
    std::size_t process;
    std::string value;
    std::size_t made = 0;
  };
  std::vector<const Operation*> sends;
  for (const auto& o : h.operations) {
    if (o.kind == Kind::Send) sends.push_back(&o);
  }
  std::ranges::sort(sends, {}, [](const Operation* o) { return std::tuple(o->start, o); });

  // A process whose operation never came to an answer is not heard of again: its
  // client goes on under a new number, as the readers of such histories expect.
  std::vector<std::size_t> process(h.clients.size());
  for (std::size_t i = 0; i < process.size(); ++i) process[i] = i;
  std::vector<Line> lines;
  const auto add = [&](Nanos at, std::string_view type, std::size_t who, std::string value) {
    lines.push_back({at, type, who, std::move(value), lines.size()});
  };
  Nanos last = 0;
  const std::size_t stride = h.clients.size() + h.finals.size();
  for (const auto* o : sends) {
    if (o->client >= process.size()) continue;
    auto& p = process[o->client];
    auto value = fmt::format("[[:append {} {}]]", o->room, o->number);
    add(o->start, "invoke", p, value);
    const Nanos end = o->end == kNever ? h.load_until : o->end;
    add(end, name_of(o->outcome), p, std::move(value));
    if (o->outcome == Outcome::Unknown) p += stride;
    last = std::max(last, end);
  }
  for (std::size_t i = 0; i < h.finals.size(); ++i) {
    const auto& f = h.finals[i];
    std::string numbers;
    for (const auto& e : f.events) {
      if (e.number != 0) fmt::format_to(std::back_inserter(numbers), "{}{}", numbers.empty() ? "" : " ", e.number);
    }
    add(last + 1, "invoke", h.clients.size() + i, fmt::format("[[:r {} nil]]", f.room));
    add(last + 2, "ok", h.clients.size() + i, fmt::format("[[:r {} [{}]]]", f.room, numbers));
  }
  // A client's answer and its next request may carry one time: the answer came first.
  std::ranges::sort(lines, {}, [](const Line& l) { return std::tuple(l.at, l.made); });

  Lines out(stream);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto& l = lines[i];
    out.add("{{:index {}, :type :{}, :process {}, :time {}, :f :txn, :value {}", i, l.type, l.process,
            l.at - h.load_from, l.value);
    out.end();
  }
}

}  // namespace haechi::drill
