#include "drill/load_setup.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "base/json.hpp"

namespace haechi::drill {

using namespace std::chrono_literals;

namespace {

constexpr std::string_view kClient = "/_matrix/client/v3";
constexpr Duration kSetupPatience = 30s;
constexpr Duration kFinalPatience = 15s;
/// Acknowledged messages that are sent once more at the end, most of them from around the fault.
constexpr std::size_t kRepeats = 60;

Error refused(std::string_view what, const Reply& reply) {
  return {Errc::Unavailable, reply.status == 0 ? fmt::format("{}: no node answers", what)
                                               : fmt::format("{}: answered {} {}", what, reply.status,
                                                             std::string_view(reply.body).substr(0, 200))};
}

Task<Reply> post(Person& person, std::string path, std::string body) {
  Asked asked;
  asked.request = make_request("POST", path, person.token, body);
  asked.patience = kSetupPatience;
  co_return co_await person.main.call(std::move(asked));
}

Task<Result<>> sign_up(Stage& stage, Person& person) {
  // Lower case: a user id knows no other.
  const auto name = fmt::format("{}-{}", to_lower_ascii(std::string_view(stage.run).substr(0, stage.run.size() - 1)),
                                person.main.client());
  const auto request = [&](std::string_view session) {
    Asked asked;
    asked.patience = kSetupPatience;
    asked.request = make_request(
        "POST", fmt::format("{}/register", kClient), {},
        fmt::format(R"({{"username":"{}","password":"drill-{}-Passw0rd","auth":{{"type":"m.login.dummy"{}}}}})", name,
                    stage.seed, session.empty() ? "" : fmt::format(R"(,"session":"{}")", session)));
    asked.judge = [](int status, std::string_view, std::uint16_t) {
      return status == 200 ? Judgement::Good : status == 401 ? Judgement::No : Judgement::Bad;
    };
    return asked;
  };
  auto reply = co_await person.main.call(request({}));
  if (reply.outcome == Outcome::Failed && reply.status == 401) {
    reply = co_await person.main.call(request(find_member(reply.body, "session")));
  }
  if (reply.outcome != Outcome::Ok) co_return std::unexpected(refused("registration", reply));
  person.user = find_member(reply.body, "user_id");
  person.token = find_member(reply.body, "access_token");
  if (person.user.empty() || person.token.empty()) co_return std::unexpected(refused("registration", reply));
  co_return Result<>{};
}

Task<Result<>> make_room(Stage& stage, Person& owner, std::uint32_t room) {
  const auto reply = co_await post(owner, fmt::format("{}/createRoom", kClient),
                                   fmt::format(R"({{"preset":"public_chat","name":"Drill {}"}})", room + 1));
  const auto id = find_member(reply.body, "room_id");
  if (reply.outcome != Outcome::Ok || id.empty()) co_return std::unexpected(refused("a new room", reply));
  stage.rooms[room] = id;
  stage.room_index.emplace(stage.rooms[room], room);
  co_return Result<>{};
}

Task<Result<>> join_rooms(Stage& stage, Person& person) {
  for (const auto room : person.rooms) {
    const auto reply =
        co_await post(person, fmt::format("{}/join/{}", kClient, percent_encode(stage.rooms[room])), "{}");
    if (reply.outcome != Outcome::Ok) co_return std::unexpected(refused("joining", reply));
  }
  co_return Result<>{};
}

Task<void> keep_first_error(Task<Result<>> task, Result<>& result) {
  auto one = co_await std::move(task);
  if (!one && result) result = std::move(one);
}

// --- the reading at the end --------------------------------------------------

Task<void> read_room(Stage& stage, Person& reader, Roamer& roamer, std::uint32_t room, std::string from) {
  FinalRoom out{room, roamer.node(), {}};
  for (;;) {
    Asked asked;
    asked.kind = Kind::Setup;
    asked.patience = kFinalPatience;
    asked.request = make_request("GET",
                                 fmt::format("{}/rooms/{}/messages?dir=f&limit=1000&from={}&filter={}", kClient,
                                             percent_encode(stage.rooms[room]), percent_encode(from),
                                             percent_encode(R"({"types":["m.room.message"]})")),
                                 reader.token);
    const auto reply = co_await roamer.call(std::move(asked));
    const auto parsed = parse_json_object(reply.body);
    const auto* chunk = parsed ? get_array(*parsed, "chunk") : nullptr;
    if (reply.outcome != Outcome::Ok || !chunk) co_return;  // half a room proves nothing
    auto& texts = stage.history().texts;
    for (const auto& e : *chunk) {
      if (!e.is_object()) continue;
      const auto* content = get_object(e.get_object(), "content");
      out.events.push_back({texts.add(get_string(e.get_object(), "event_id").value_or("")),
                            content ? number_in(stage, get_string(*content, "body").value_or("")) : 0});
    }
    const auto next = get_string(*parsed, "end");
    if (!next || *next == from) break;
    from = *next;
  }
  stage.history().finals.push_back(std::move(out));
}

Task<void> read_media(Stage& stage, Roamer& roamer) {
  struct One {
    std::uint32_t client;
    std::uint64_t number;
    std::string link;
  };
  std::vector<One> all;
  for (const auto& o : stage.history().operations) {
    if (o.kind == Kind::Upload && o.outcome == Outcome::Ok) {
      all.push_back({o.client, o.number, std::string(stage.history().texts[o.result])});
    }
  }
  for (const auto& one : all) {
    auto& owner = *stage.people[one.client];
    auto asked = ask_media(owner, one.link);
    asked.patience = kFinalPatience;
    const auto reply = co_await roamer.call(std::move(asked));
    auto& o = record(stage, owner, Kind::Download, reply);
    o.number = one.number;
    o.final = true;
    o.different = reply.outcome == Outcome::Ok && reply.body != media_of(stage.seed, one.number);
  }
}

Task<void> read_data(Stage& stage, Roamer& roamer) {
  for (auto& person : stage.people) {
    if (person->role != Role::Writer) continue;
    auto asked = ask_version(*person);
    asked.patience = kFinalPatience;
    const auto reply = co_await roamer.call(std::move(asked));
    auto& o = record(stage, *person, Kind::Read, reply);
    o.number = version_in(reply.body);
    o.final = true;
  }
}

struct Repeat {
  std::uint32_t client, room;
  std::uint64_t number;
};

/// Messages that were under way around a fault, and as many from anywhere.
std::vector<Repeat> choose_repeats(const Stage& stage) {
  const auto& h = stage.history();
  std::vector<std::pair<Nanos, const Operation*>> by_distance;
  for (const auto& o : h.operations) {
    if (o.kind != Kind::Send || o.outcome != Outcome::Ok) continue;
    Nanos distance = kNever;
    for (const auto f : h.faults) {
      const auto inside = f >= o.start && f <= o.end;
      distance = std::min(distance, inside ? 0 : std::min(std::abs(o.start - f), std::abs(o.end - f)));
    }
    // Those that had to try again are the ones that could have happened twice.
    by_distance.push_back({o.attempts > 1 ? 0 : distance, &o});
  }
  std::ranges::sort(by_distance);
  std::vector<Repeat> out;
  const auto add = [&](const Operation& o) { out.push_back({o.client, o.room, o.number}); };
  const auto near = std::min(by_distance.size(), kRepeats / 2);
  for (std::size_t i = 0; i < near; ++i) add(*by_distance[i].second);
  const auto rest = by_distance.size() - near;
  for (std::size_t i = 0; i < kRepeats / 2 && rest > 0; ++i) add(*by_distance[near + i * rest / (kRepeats / 2)].second);
  return out;
}

Task<void> repeat(Stage& stage, Roamer& roamer, std::vector<Repeat> repeats) {
  for (const auto& r : repeats) {
    auto& person = *stage.people[r.client];
    auto asked = ask_send(stage, person, r.room, r.number, Kind::Resend);
    asked.patience = kFinalPatience;
    const auto reply = co_await roamer.call(std::move(asked));
    auto& o = record(stage, person, Kind::Resend, reply);
    o.number = r.number;
    o.room = r.room;
    o.final = true;
    o.result = stage.history().texts.add(find_member(reply.body, "event_id"));
  }
}

Task<void> read_at(Stage& stage, std::uint32_t node, std::string from, std::vector<Repeat> repeats) {
  // Repeats come before the reading: what they did twice is to be found.
  Roamer roamer(stage.world, 0, {node});
  co_await repeat(stage, roamer, std::move(repeats));
  for (std::uint32_t room = 0; room < stage.rooms.size(); ++room) {
    const auto reader = std::ranges::find_if(
        stage.people, [&](const auto& p) { return std::ranges::find(p->rooms, room) != p->rooms.end(); });
    if (reader != stage.people.end()) co_await read_room(stage, **reader, roamer, room, from);
  }
  co_await read_data(stage, roamer);
  co_await read_media(stage, roamer);
}

}  // namespace

void hire(Stage& stage, std::size_t sites, int clients, bool only_senders) {
  std::vector<std::vector<std::uint32_t>> nodes(sites);
  for (std::uint32_t n = 0; n < stage.world.nodes.size(); ++n) nodes[stage.world.nodes[n].site].push_back(n);

  const auto order_from = [&](std::size_t site, std::size_t turn) {
    std::vector<std::uint32_t> order;
    for (std::size_t s = 0; s < sites; ++s) {
      // Half of the people go to one neighbour first, half to the other.
      const auto step = s == 0 ? 0 : (turn % 2 == 0 ? s : sites - s);
      const auto& own = nodes[(site + step) % sites];
      for (std::size_t i = 0; i < own.size(); ++i) order.push_back(own[(i + turn / 2) % own.size()]);
    }
    return order;
  };

  const auto total = std::max<std::size_t>(sites, static_cast<std::size_t>(std::max(clients, 1)));
  const auto per_site = total / sites;
  const std::uint32_t rooms = std::clamp<std::uint32_t>(static_cast<std::uint32_t>(total / 8), 2, 64);
  stage.rooms.assign(rooms, {});
  stage.newest.assign(rooms, {});
  std::uint32_t senders = 0, others = 0;
  for (std::size_t i = 0; i < per_site * sites; ++i) {
    const auto site = i % sites;
    const auto turn = i / sites;  // the how-manieth of its site
    Role role = Role::Sender;
    if (!only_senders && per_site >= 6) {
      if (turn < std::max<std::size_t>(1, per_site / 8)) {
        role = Role::Receiver;
      } else if (turn + 3 >= per_site) {
        role = turn + 3 == per_site ? Role::Uploader : turn + 2 == per_site ? Role::Writer : Role::Chatter;
      }
    }
    const auto home = static_cast<std::uint32_t>(site);
    auto person = std::make_unique<Person>(stage.world, static_cast<std::uint32_t>(stage.people.size()), role, home,
                                           order_from(site, turn),
                                           order_from((site + 1 + turn % (sites > 1 ? sites - 1 : 1)) % sites, turn));
    if (role == Role::Sender) {
      // A room is shared by one sender of each site at least; each sender has two.
      const auto group = senders++ / static_cast<std::uint32_t>(sites);
      person->rooms = {group % rooms, (group + 1 + home) % rooms};
      if (person->rooms[0] == person->rooms[1]) person->rooms.pop_back();
    } else if (role == Role::Receiver) {
      for (std::uint32_t r = others++ % 2; r < rooms; r += 2) person->rooms.push_back(r);
    } else if (role == Role::Chatter) {
      person->rooms = {others++ % rooms};
    }
    stage.people.push_back(std::move(person));
  }
}

Task<Result<>> move_in(Stage& stage) {
  Result<> result;
  {
    Scope scope;
    for (auto& p : stage.people) scope.spawn(keep_first_error(sign_up(stage, *p), result));
    co_await scope.join();
    CO_TRY_DO(result);
  }
  {
    Scope scope;
    for (std::uint32_t room = 0; room < stage.rooms.size(); ++room) {
      const auto owner = std::ranges::find_if(stage.people, [&](const auto& p) {
        return !p->main.busy() && p->role == Role::Sender && std::ranges::find(p->rooms, room) != p->rooms.end();
      });
      if (owner == stage.people.end()) {
        result = fail(Errc::Invalid, "too few clients for the rooms");
        break;
      }
      scope.spawn(keep_first_error(make_room(stage, **owner, room), result));
    }
    co_await scope.join();
    CO_TRY_DO(result);
  }
  {
    Scope scope;
    for (auto& p : stage.people) scope.spawn(keep_first_error(join_rooms(stage, *p), result));
    co_await scope.join();
  }
  co_return result;
}

Task<std::vector<std::string>> read_everything(Stage& stage, std::string from) {
  const auto health = co_await stage.world.ask_all();
  const auto& sites = stage.history().sites;
  std::vector<std::uint32_t> nodes;
  std::vector<std::string> missing;
  for (std::uint32_t s = 0; s < sites.size(); ++s) {
    std::optional<std::uint32_t> chosen;
    for (std::uint32_t n = 0; n < health.size() && !chosen; ++n) {
      if (stage.world.nodes[n].site != s) continue;
      // The round may have ended before the slow ones spoke.
      if (health[n] == World::Health::Ready || co_await stage.world.ask(n, 2s) == World::Health::Ready) chosen = n;
    }
    if (chosen) {
      nodes.push_back(*chosen);
    } else {
      missing.push_back(sites[s]);
    }
  }
  const auto repeats = choose_repeats(stage);
  Scope scope;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    std::vector<Repeat> own;
    for (std::size_t r = i; r < repeats.size(); r += nodes.size()) own.push_back(repeats[r]);
    scope.spawn(read_at(stage, nodes[i], from, std::move(own)));
  }
  co_await scope.join();
  co_return missing;
}

}  // namespace haechi::drill
