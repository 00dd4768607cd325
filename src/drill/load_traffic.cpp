#include "drill/load_traffic.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.hpp"

namespace haechi::drill {

using namespace std::chrono_literals;

namespace {

constexpr std::string_view kClient = "/_matrix/client/v3";
constexpr std::string_view kDataType = "org.haechi.drill";
constexpr Duration kPoll = 2s;
constexpr Duration kUploadEvery = 400ms;
constexpr Duration kWriteEvery = 200ms;
constexpr Duration kChatEvery = 300ms;
/// One in so many acknowledged messages is looked for through another site, or sent once more.
constexpr std::uint64_t kLookEvery = 25;
constexpr std::uint64_t kRepeatEvery = 40;
/// Messages that a sender holds back at most while it waits for an answer.
constexpr std::size_t kDueMax = 5000;

/// Only messages, and many at once: a receiver that comes back from another site should miss nothing.
constexpr std::string_view kFilter =
    R"({"presence":{"types":[]},"account_data":{"types":[]},"room":{"timeline":{"limit":500,"types":["m.room.message"]},)"
    R"("state":{"types":[]},"ephemeral":{"types":[]},"account_data":{"types":[]}}})";

Judgement good_event(int status, std::string_view body, std::uint16_t) {
  return status == 200 && find_member(body, "event_id").starts_with('$') ? Judgement::Good : Judgement::Bad;
}

/// The whole number in a sync token or any text like "s123_4_5"; -1 for none.
std::int64_t position_in(std::string_view token) {
  const auto from = token.find_first_of("0123456789");
  if (from == std::string_view::npos) return -1;
  const auto until = token.find_first_not_of("0123456789", from);
  return parse_int(token.substr(from, until == std::string_view::npos ? until : until - from)).value_or(-1);
}

/// Looks for an acknowledged message through another site, or sends it there once more.
Task<void> look_elsewhere(Stage& stage, Person& person, std::uint32_t room, std::uint64_t number, std::string event,
                          Kind kind) {
  Asked asked;
  if (kind == Kind::Resend) {
    asked = ask_send(stage, person, room, number, kind);
  } else {
    asked.kind = kind;
    asked.request = make_request(
        "GET", fmt::format("{}/rooms/{}/event/{}", kClient, percent_encode(stage.rooms[room]), percent_encode(event)),
        person.token);
    asked.judge = [](int status, std::string_view, std::uint16_t) {
      return status == 200 ? Judgement::Good : status == 404 ? Judgement::No : Judgement::Bad;
    };
  }
  const auto reply = co_await person.elsewhere.call(std::move(asked));
  auto& o = record(stage, person, kind, reply);
  o.room = room;
  o.number = number;
  if (kind == Kind::Resend) o.result = stage.history().texts.add(find_member(reply.body, "event_id"));
}

}  // namespace

std::string_view name_of(Role role) {
  switch (role) {
    case Role::Sender: return "sender";
    case Role::Receiver: return "receiver";
    case Role::Uploader: return "uploader";
    case Role::Writer: return "writer";
    case Role::Chatter: return "chatter";
  }
  return "?";
}

std::string_view find_member(std::string_view json, std::string_view key) {
  for (std::size_t at = 0; (at = json.find(key, at)) != std::string_view::npos; at += key.size()) {
    auto rest = json.substr(at + key.size());
    if (at == 0 || json[at - 1] != '"' || !rest.starts_with('"')) continue;
    rest.remove_prefix(1);
    const auto value = rest.find_first_not_of(" :");
    if (value == std::string_view::npos || rest[value] != '"') continue;
    rest.remove_prefix(value + 1);
    return rest.substr(0, rest.find('"'));
  }
  return {};
}

std::uint64_t number_in(const Stage& stage, std::string_view body) {
  if (!body.starts_with(stage.run)) return 0;
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, parse_int(body.substr(stage.run.size())).value_or(0)));
}

std::uint64_t version_in(std::string_view body) {
  const auto parsed = parse_json_object(body);
  return parsed ? static_cast<std::uint64_t>(get_int(*parsed, "version").value_or(0)) : 0;
}

std::string media_of(std::uint64_t seed, std::uint64_t number) {
  std::mt19937_64 random(seed * 1'000'003 + number);
  // From a note to a photograph; most are small.
  const std::size_t words = std::size_t{64} << (random() % 10);
  std::string out;
  out.reserve(words * 8);
  for (std::size_t i = 0; i < words; ++i) {
    const auto word = random();
    for (int shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>((word >> shift) & 0xff));
  }
  return out;
}

Operation& record(Stage& stage, const Person& person, Kind kind, const Reply& reply) {
  Operation o;
  o.kind = kind;
  o.start = reply.start;
  o.end = reply.end;
  o.client = person.main.client();
  o.node = reply.node;
  o.status = static_cast<std::uint16_t>(reply.status);
  o.attempts = reply.attempts;
  o.outcome = reply.outcome;
  return stage.history().operations.emplace_back(o);
}

Asked ask_send(const Stage& stage, const Person& person, std::uint32_t room, std::uint64_t number, Kind kind) {
  Operation named;
  named.client = person.main.client();
  named.number = number;
  Asked asked;
  asked.kind = kind;
  asked.request = make_request("PUT",
                               fmt::format("{}/rooms/{}/send/m.room.message/{}", kClient,
                                           percent_encode(stage.rooms[room]), transaction_id(named)),
                               person.token, fmt::format(R"({{"msgtype":"m.text","body":"{}{}"}})", stage.run, number));
  asked.judge = good_event;
  return asked;
}

Asked ask_version(const Person& person) {
  Asked asked;
  asked.kind = Kind::Read;
  asked.request = make_request(
      "GET", fmt::format("{}/user/{}/account_data/{}", kClient, percent_encode(person.user), kDataType), person.token);
  asked.judge = [](int status, std::string_view body, std::uint16_t) {
    return status == 404 || (status == 200 && version_in(body) != 0) ? Judgement::Good : Judgement::Bad;
  };
  return asked;
}

Asked ask_media(const Person& person, std::string_view link) {
  constexpr std::string_view kScheme = "mxc://";
  Asked asked;
  asked.kind = Kind::Download;
  asked.request = make_request(
      "GET", fmt::format("/_matrix/client/v1/media/download/{}", link.substr(std::min(link.size(), kScheme.size()))),
      person.token);
  asked.judge = [](int status, std::string_view, std::uint16_t) {
    return status == 200 ? Judgement::Good : status == 404 ? Judgement::No : Judgement::Bad;
  };
  return asked;
}

Task<void> pace(Stage& stage, double rate) {
  std::vector<Person*> senders;
  for (const auto& p : stage.people) {
    if (p->role == Role::Sender) senders.push_back(p.get());
  }
  const auto from = stage.world.loop.now();
  const double interval_ns = 1e9 / rate;
  for (std::uint64_t n = 0; stage.going && !senders.empty();) {
    const auto due = from + Duration(static_cast<std::int64_t>(interval_ns * static_cast<double>(n)));
    if (due > stage.world.loop.now()) {
      co_await stage.world.loop.sleep(due - stage.world.loop.now());
      continue;
    }
    auto& sender = *senders[n % senders.size()];
    if (sender.due.size() < kDueMax) sender.due.push_back(due.time_since_epoch().count());
    sender.due_changed.notify();
    ++n;
  }
}

Task<void> send_messages(Stage& stage, Person& person, bool paced) {
  while (stage.going) {
    Nanos intended = stage.world.now();
    if (paced && person.first_acknowledged) {
      if (person.due.empty()) {
        co_await person.due_changed.wait(stage.world.loop.now() + 100ms);
        continue;
      }
      intended = person.due.front();
      person.due.pop_front();
    }
    const auto number = ++stage.messages;
    const auto room = person.rooms[person.sent++ % person.rooms.size()];
    const auto reply = co_await person.main.call(ask_send(stage, person, room, number, Kind::Send));
    auto& o = record(stage, person, Kind::Send, reply);
    o.number = number;
    o.room = room;
    o.intended = std::min(intended, o.start);
    if (reply.outcome != Outcome::Ok) {
      if (reply.outcome == Outcome::Failed) co_await stage.world.loop.sleep(kWriteEvery);
      continue;
    }
    const std::string event(find_member(reply.body, "event_id"));
    o.result = stage.history().texts.add(event);
    stage.newest[room] = event;
    person.first_acknowledged = true;
    if (stage.on_acknowledged) stage.on_acknowledged(reply.end);
    if (person.elsewhere.busy()) continue;
    if (person.sent % kRepeatEvery == 0 || reply.attempts > 1) {
      stage.traffic.spawn(look_elsewhere(stage, person, room, number, event, Kind::Resend));
    } else if (person.sent % kLookEvery == 0) {
      stage.traffic.spawn(look_elsewhere(stage, person, room, number, event, Kind::ReadEvent));
    }
  }
  person.due.clear();
}

Task<std::optional<std::size_t>> sync_once(Stage& stage, Person& person, Duration wait, bool record_it) {
  using std::chrono::milliseconds;
  Asked asked;
  asked.kind = Kind::Sync;
  asked.request =
      make_request("GET",
                   fmt::format("{}/sync?timeout={}&set_presence=offline&filter={}{}{}", kClient,
                               std::chrono::duration_cast<milliseconds>(wait).count(), percent_encode(kFilter),
                               person.since.empty() ? "" : "&since=", percent_encode(person.since)),
                   person.token);
  asked.judge = [](int status, std::string_view body, std::uint16_t) {
    return status == 200 && !find_member(body, "next_batch").empty() ? Judgement::Good : Judgement::Bad;
  };
  const auto reply = co_await person.main.call(std::move(asked));
  if (reply.outcome != Outcome::Ok) co_return std::nullopt;
  auto& h = stage.history();
  const auto parsed = parse_json_object(reply.body);
  if (!parsed) {
    stage.world.trouble({reply.start, reply.end, person.main.client(), reply.node, Kind::Sync, What::Content, 200,
                         parsed.error().message});
    co_return std::nullopt;
  }
  std::size_t found = 0;
  const auto* rooms = get_object(*parsed, "rooms");
  const auto* joined = rooms ? get_object(*rooms, "join") : nullptr;
  for (const auto& [id, room] : joined ? *joined : json::object{}) {
    const auto index = stage.room_index.find(std::string_view(id));
    const auto* timeline = room.is_object() ? get_object(room.get_object(), "timeline") : nullptr;
    const auto* events = timeline ? get_array(*timeline, "events") : nullptr;
    if (index == stage.room_index.end() || !events) continue;
    bool gap = get_flag(*timeline, "limited");
    for (const auto& e : *events) {
      if (!e.is_object()) continue;
      const auto* content = get_object(e.get_object(), "content");
      const auto number = content ? number_in(stage, get_string(*content, "body").value_or("")) : 0;
      if (number == 0) continue;
      ++found;
      if (record_it) {
        h.seen.push_back({reply.end, number, person.main.client(), reply.node, index->second,
                          h.texts.add(get_string(e.get_object(), "event_id").value_or("")), gap});
      }
      gap = false;
    }
  }
  const auto next = get_string(*parsed, "next_batch").value_or("");
  if (record_it) {
    h.steps.push_back({reply.end, position_in(person.since), position_in(next), person.main.client(), reply.node});
  }
  person.since = next;
  co_return found;
}

Task<void> receive(Stage& stage, Person& person) {
  while (stage.going) {
    if (!co_await sync_once(stage, person, kPoll, true)) co_await stage.world.loop.sleep(100ms);
  }
}

Task<void> upload(Stage& stage, Person& person) {
  auto& loop = stage.world.loop;
  while (stage.going) {
    Asked create;
    create.kind = Kind::Setup;
    create.request = make_request("POST", "/_matrix/media/v1/create", person.token);
    create.judge = [](int status, std::string_view body, std::uint16_t) {
      return status == 200 && find_member(body, "content_uri").starts_with("mxc://") ? Judgement::Good : Judgement::Bad;
    };
    const auto made = co_await person.main.call(std::move(create));
    if (made.outcome != Outcome::Ok) {
      co_await loop.sleep(kUploadEvery);
      continue;
    }
    const std::string link(find_member(made.body, "content_uri"));
    const auto number = ++stage.media;
    const auto content = media_of(stage.seed, number);

    Asked put;
    put.kind = Kind::Upload;
    put.request = make_head("PUT", fmt::format("/_matrix/media/v3/upload/{}", std::string_view(link).substr(6)),
                            person.token, content.size(), "application/octet-stream");
    put.body = content;
    put.judge = [](int status, std::string_view, std::uint16_t attempts) {
      // The attempt that was left behind has done it: what is there is read back and compared all the same.
      const bool there_already = status == 409 && attempts > 1;
      return status == 200 || there_already ? Judgement::Good : Judgement::Bad;
    };
    const auto reply = co_await person.main.call(std::move(put));
    auto& o = record(stage, person, Kind::Upload, reply);
    o.number = number;
    o.result = stage.history().texts.add(link);
    if (reply.outcome == Outcome::Ok) {
      const auto read = co_await person.elsewhere.call(ask_media(person, link));
      auto& r = record(stage, person, Kind::Download, read);
      r.number = number;
      r.different = read.outcome == Outcome::Ok && read.body != content;
    }
    co_await loop.sleep(kUploadEvery);
  }
}

Task<void> write(Stage& stage, Person& person) {
  while (stage.going) {
    const auto version = ++person.version;
    Asked put;
    put.kind = Kind::Write;
    put.request =
        make_request("PUT", fmt::format("{}/user/{}/account_data/{}", kClient, percent_encode(person.user), kDataType),
                     person.token, fmt::format(R"({{"version":{}}})", version));
    const auto reply = co_await person.main.call(std::move(put));
    record(stage, person, Kind::Write, reply).number = version;
    const auto read = co_await person.elsewhere.call(ask_version(person));
    record(stage, person, Kind::Read, read).number = version_in(read.body);
    co_await stage.world.loop.sleep(kWriteEvery);
  }
}

Task<void> chat(Stage& stage, Person& person) {
  for (std::uint64_t turn = 0; stage.going; ++turn) {
    const auto room = person.rooms[turn / 2 % person.rooms.size()];
    const auto id = percent_encode(stage.rooms[room]);
    Asked asked;
    if (turn % 2 == 0) {
      asked.kind = Kind::Typing;
      asked.request =
          make_request("PUT", fmt::format("{}/rooms/{}/typing/{}", kClient, id, percent_encode(person.user)),
                       person.token, R"({"typing":true,"timeout":3000})");
    } else if (!stage.newest[room].empty()) {
      asked.kind = Kind::Receipt;
      asked.request = make_request(
          "POST", fmt::format("{}/rooms/{}/receipt/m.read/{}", kClient, id, percent_encode(stage.newest[room])),
          person.token, "{}");
    }
    if (!asked.request.empty()) {
      const auto kind = asked.kind;
      const auto reply = co_await person.main.call(std::move(asked));
      record(stage, person, kind, reply).room = room;
    }
    co_await stage.world.loop.sleep(kChatEvery);
  }
}

}  // namespace haechi::drill
