#include "messenger/event/auth.hpp"

#include <doctest/doctest.h>

#include "messenger/event/event_errc.hpp"
#include "messenger/event/tests/fake_state.hpp"

using namespace haechi;
using namespace haechi::messenger;

namespace {

enum class Verdict { Allow, Forbid, Malformed };
constexpr auto Allow = Verdict::Allow;
constexpr auto Forbid = Verdict::Forbid;
constexpr auto Malformed = Verdict::Malformed;

enum Versions : unsigned { V10 = 1, V11 = 2, V12 = 4, All = 7, Before12 = 3, From11 = 6 };

/// alice made the room; ann has 100, bob 50, carl and cora 0; dave is invited, eve banned, fay knocks,
/// gus left, hal was never there.
FakeState room(const RoomVersion& version) {
  FakeState s;
  json::object create{{"room_version", version.id}};
  if (!version.creator_is_sender) create["creator"] = "@alice:h";
  s.set("m.room.create", "", create, "@alice:h");
  json::object users{{"@ann:h", 100}, {"@bob:h", 50}};
  if (!version.creators_are_infinite) users["@alice:h"] = 100;
  s.set("m.room.power_levels", "", {{"users", users}}, "@alice:h");
  s.set("m.room.join_rules", "", {{"join_rule", "invite"}}, "@alice:h");
  for (const auto* user : {"@alice:h", "@ann:h", "@bob:h", "@carl:h", "@cora:h"}) s.member(user, "join");
  s.member("@dave:h", "invite");
  s.member("@eve:h", "ban");
  s.member("@fay:h", "knock");
  s.member("@gus:h", "leave");
  return s;
}

struct Row {
  const char* what;
  const char* sender;
  const char* type;
  const char* state_key;  // null for a message
  const char* content;
  Verdict verdict;
  const char* state = "{}";  // {"type|state_key": content}, put over room()
  unsigned versions = All;
};

Verdict judge(const RoomVersion& version, const Row& r) {
  FakeState state = room(version);
  state.patch(r.state);
  const auto content = must_parse_object(r.content);
  const std::vector<std::string_view> prev{"$last"};
  AuthEvent e{.room_id = version.room_id_is_hash ? "!create" : "!r:h",
              .sender = r.sender,
              .type = r.type,
              .content = &content,
              .prev_events = prev};
  if (r.state_key) e.state_key = r.state_key;
  const auto result = authorize(version, e, state);
  if (result) return Allow;
  CHECK_FALSE(result.error().message.empty());
  return result.error().is(EventErrc::Forbidden) ? Forbid : Malformed;
}

void run(std::span<const Row> rows) {
  for (const auto* version : room_versions()) {
    const unsigned bit = version->id == "10" ? V10 : version->id == "11" ? V11 : V12;
    for (const auto& r : rows) {
      if (!(r.versions & bit)) continue;
      CAPTURE(version->id);
      CAPTURE(r.what);
      CHECK(judge(*version, r) == r.verdict);
    }
  }
}

constexpr const char* kMember = "m.room.member";
constexpr const char* kJoin = R"({"membership":"join"})";
constexpr const char* kInvite = R"({"membership":"invite"})";
constexpr const char* kLeave = R"({"membership":"leave"})";
constexpr const char* kBan = R"({"membership":"ban"})";
constexpr const char* kKnock = R"({"membership":"knock"})";
constexpr const char* kPublic = R"({"m.room.join_rules|":{"join_rule":"public"}})";
constexpr const char* kKnocking = R"({"m.room.join_rules|":{"join_rule":"knock"}})";
constexpr const char* kRestricted = R"({"m.room.join_rules|":{"join_rule":"restricted","allow":[]}})";
constexpr const char* kKnockRestricted = R"({"m.room.join_rules|":{"join_rule":"knock_restricted","allow":[]}})";
constexpr const char* kVia = R"({"membership":"join","join_authorised_via_users_server":"@carl:h"})";
constexpr const char* kInvite50 =
    R"({"m.room.power_levels|":{"invite":50,"users":{"@ann:h":100,"@bob:h":50}},
        "m.room.join_rules|":{"join_rule":"restricted"}})";

}  // namespace

TEST_CASE("joins follow the join rule and the membership before") {
  const Row rows[] = {
      {"an invited user joins", "@dave:h", kMember, "@dave:h", kJoin, Allow},
      {"a member changes the profile", "@carl:h", kMember, "@carl:h", kJoin, Allow},
      {"a stranger at an invite room", "@hal:h", kMember, "@hal:h", kJoin, Forbid},
      {"one who left an invite room", "@gus:h", kMember, "@gus:h", kJoin, Forbid},
      {"one who knocks has no entry yet", "@fay:h", kMember, "@fay:h", kJoin, Forbid},
      {"a banned user", "@eve:h", kMember, "@eve:h", kJoin, Forbid},
      {"a banned user at a public room", "@eve:h", kMember, "@eve:h", kJoin, Forbid, kPublic},
      {"a stranger at a public room", "@hal:h", kMember, "@hal:h", kJoin, Allow, kPublic},
      {"one who left a public room", "@gus:h", kMember, "@gus:h", kJoin, Allow, kPublic},
      {"an invited user at a public room", "@dave:h", kMember, "@dave:h", kJoin, Allow, kPublic},
      {"joining for somebody else", "@alice:h", kMember, "@hal:h", kJoin, Forbid, kPublic},
      {"joining an invited user for them", "@alice:h", kMember, "@dave:h", kJoin, Forbid},
      {"a stranger at a knock room", "@hal:h", kMember, "@hal:h", kJoin, Forbid, kKnocking},
      {"an invited user at a knock room", "@dave:h", kMember, "@dave:h", kJoin, Allow, kKnocking},
      {"one who knocked at a knock room", "@fay:h", kMember, "@fay:h", kJoin, Forbid, kKnocking},
      {"restricted, not authorised", "@hal:h", kMember, "@hal:h", kJoin, Forbid, kRestricted},
      {"restricted, by a member who may invite", "@hal:h", kMember, "@hal:h", kVia, Allow, kRestricted},
      {"restricted, by somebody outside", "@hal:h", kMember, "@hal:h",
       R"({"membership":"join","join_authorised_via_users_server":"@gus:h"})", Forbid, kRestricted},
      {"restricted, by an invited user", "@hal:h", kMember, "@hal:h",
       R"({"membership":"join","join_authorised_via_users_server":"@dave:h"})", Forbid, kRestricted},
      {"restricted, by a member who may not invite", "@hal:h", kMember, "@hal:h", kVia, Forbid, kInvite50},
      {"restricted, by the moderator", "@hal:h", kMember, "@hal:h",
       R"({"membership":"join","join_authorised_via_users_server":"@bob:h"})", Allow, kInvite50},
      {"restricted, by a creator without a level", "@hal:h", kMember, "@hal:h",
       R"({"membership":"join","join_authorised_via_users_server":"@alice:h"})", Allow, kInvite50, V12},
      {"restricted, by a creator whose level was taken", "@hal:h", kMember, "@hal:h",
       R"({"membership":"join","join_authorised_via_users_server":"@alice:h"})", Forbid, kInvite50, Before12},
      {"restricted, the authoriser is no string", "@hal:h", kMember, "@hal:h",
       R"({"membership":"join","join_authorised_via_users_server":5})", Forbid, kRestricted},
      {"restricted, invited", "@dave:h", kMember, "@dave:h", kJoin, Allow, kRestricted},
      {"restricted, in already", "@carl:h", kMember, "@carl:h", kJoin, Allow, kRestricted},
      {"restricted, banned but authorised", "@eve:h", kMember, "@eve:h", kVia, Forbid, kRestricted},
      {"knock_restricted, authorised", "@hal:h", kMember, "@hal:h", kVia, Allow, kKnockRestricted},
      {"knock_restricted, not authorised", "@hal:h", kMember, "@hal:h", kJoin, Forbid, kKnockRestricted},
      {"an authoriser does not open an invite room", "@hal:h", kMember, "@hal:h", kVia, Forbid},
      {"the private join rule lets nobody in", "@dave:h", kMember, "@dave:h", kJoin, Forbid,
       R"({"m.room.join_rules|":{"join_rule":"private"}})"},
      {"an unknown join rule lets nobody in", "@dave:h", kMember, "@dave:h", kJoin, Forbid,
       R"({"m.room.join_rules|":{"join_rule":"x.y"}})"},
      {"no join rules are those of an invite room", "@hal:h", kMember, "@hal:h", kJoin, Forbid,
       R"({"m.room.join_rules|":null})"},
      {"no join rules: the invited may join", "@dave:h", kMember, "@dave:h", kJoin, Allow,
       R"({"m.room.join_rules|":null})"},
  };
  run(rows);
}

TEST_CASE("invitations, leaves, kicks, bans and knocks") {
  const Row rows[] = {
      {"a member invites", "@carl:h", kMember, "@hal:h", kInvite, Allow},
      {"a member invites one who left", "@carl:h", kMember, "@gus:h", kInvite, Allow},
      {"a member invites one who knocks", "@carl:h", kMember, "@fay:h", kInvite, Allow},
      {"a second invitation", "@carl:h", kMember, "@dave:h", kInvite, Allow},
      {"inviting a member", "@alice:h", kMember, "@carl:h", kInvite, Forbid},
      {"inviting a banned user", "@alice:h", kMember, "@eve:h", kInvite, Forbid},
      {"a stranger invites", "@hal:h", kMember, "@gus:h", kInvite, Forbid},
      {"an invited user invites", "@dave:h", kMember, "@hal:h", kInvite, Forbid},
      {"too low to invite", "@carl:h", kMember, "@hal:h", kInvite, Forbid, kInvite50},
      {"high enough to invite", "@bob:h", kMember, "@hal:h", kInvite, Allow, kInvite50},
      {"a creator invites where the level is 200", "@alice:h", kMember, "@hal:h", kInvite, Allow,
       R"({"m.room.power_levels|":{"invite":200}})", V12},
      {"a third-party invite that is not signed", "@carl:h", kMember, "@hal:h",
       R"({"membership":"invite","third_party_invite":{}})", Forbid},
      {"a third-party invite without a state event", "@carl:h", kMember, "@hal:h",
       R"({"membership":"invite","third_party_invite":{"signed":{"mxid":"@hal:h","token":"t"}}})", Forbid},
      {"a third-party invite for another", "@carl:h", kMember, "@hal:h",
       R"({"membership":"invite","third_party_invite":{"signed":{"mxid":"@x:h","token":"t"}}})", Forbid},
      {"a third-party invite of a wrong form", "@carl:h", kMember, "@hal:h",
       R"({"membership":"invite","third_party_invite":7})", Forbid},

      {"a member leaves", "@carl:h", kMember, "@carl:h", kLeave, Allow},
      {"an invitation is rejected", "@dave:h", kMember, "@dave:h", kLeave, Allow},
      {"a knock is taken back", "@fay:h", kMember, "@fay:h", kLeave, Allow},
      {"leaving twice", "@gus:h", kMember, "@gus:h", kLeave, Forbid},
      {"leaving what one never joined", "@hal:h", kMember, "@hal:h", kLeave, Forbid},
      {"a banned user leaves the ban", "@eve:h", kMember, "@eve:h", kLeave, Forbid},
      {"the moderator kicks", "@bob:h", kMember, "@carl:h", kLeave, Allow},
      {"the moderator kicks an equal", "@bob:h", kMember, "@bo:h", kLeave, Forbid,
       R"({"m.room.power_levels|":{"users":{"@bob:h":50,"@bo:h":50}},"m.room.member|@bo:h":{"membership":"join"}})"},
      {"the moderator kicks a higher one", "@bob:h", kMember, "@ann:h", kLeave, Forbid},
      {"a member kicks", "@carl:h", kMember, "@cora:h", kLeave, Forbid},
      {"a stranger kicks", "@hal:h", kMember, "@carl:h", kLeave, Forbid},
      {"an invitation is withdrawn", "@bob:h", kMember, "@dave:h", kLeave, Allow},
      {"a member cannot withdraw an invitation", "@carl:h", kMember, "@dave:h", kLeave, Forbid},
      {"a knock is rejected", "@bob:h", kMember, "@fay:h", kLeave, Allow},
      {"an unban", "@bob:h", kMember, "@eve:h", kLeave, Allow},
      {"an unban by a member", "@carl:h", kMember, "@eve:h", kLeave, Forbid},
      {"an unban needs the ban level too", "@bob:h", kMember, "@eve:h", kLeave, Forbid,
       R"({"m.room.power_levels|":{"ban":60,"users":{"@bob:h":50}}})"},
      {"a kick where the level is 0", "@carl:h", kMember, "@dave:h", kLeave, Forbid,
       R"({"m.room.power_levels|":{"kick":0}})"},
      {"ann kicks the creator: equal", "@ann:h", kMember, "@alice:h", kLeave, Forbid},
      {"the creator kicks ann: equal", "@alice:h", kMember, "@ann:h", kLeave, Forbid, "{}", Before12},
      {"the creator kicks ann: infinite", "@alice:h", kMember, "@ann:h", kLeave, Allow, "{}", V12},
      {"an additional creator is as high as the first", "@ann:h", kMember, "@alice:h", kLeave, Forbid,
       R"({"m.room.create|":{"room_version":"12","additional_creators":["@ann:h"]}})", V12},

      {"the moderator bans", "@bob:h", kMember, "@carl:h", kBan, Allow},
      {"the moderator bans a stranger", "@bob:h", kMember, "@hal:h", kBan, Allow},
      {"the moderator bans an invited user", "@bob:h", kMember, "@dave:h", kBan, Allow},
      {"a second ban", "@bob:h", kMember, "@eve:h", kBan, Allow},
      {"the moderator bans a higher one", "@bob:h", kMember, "@ann:h", kBan, Forbid},
      {"a member bans", "@carl:h", kMember, "@cora:h", kBan, Forbid},
      {"a stranger bans", "@hal:h", kMember, "@carl:h", kBan, Forbid},
      {"banning oneself", "@bob:h", kMember, "@bob:h", kBan, Forbid},
      {"nobody bans a creator", "@ann:h", kMember, "@alice:h", kBan, Forbid,
       R"({"m.room.power_levels|":{"users":{"@ann:h":9007199254740991}}})", V12},

      {"knocking", "@hal:h", kMember, "@hal:h", kKnock, Allow, kKnocking},
      {"knocking after leaving", "@gus:h", kMember, "@gus:h", kKnock, Allow, kKnocking},
      {"knocking again", "@fay:h", kMember, "@fay:h", kKnock, Allow, kKnocking},
      {"knocking at knock_restricted", "@hal:h", kMember, "@hal:h", kKnock, Allow, kKnockRestricted},
      {"knocking at an invite room", "@hal:h", kMember, "@hal:h", kKnock, Forbid},
      {"knocking at a public room", "@hal:h", kMember, "@hal:h", kKnock, Forbid, kPublic},
      {"knocking at a restricted room", "@hal:h", kMember, "@hal:h", kKnock, Forbid, kRestricted},
      {"knocking for somebody else", "@carl:h", kMember, "@hal:h", kKnock, Forbid, kKnocking},
      {"knocking when banned", "@eve:h", kMember, "@eve:h", kKnock, Forbid, kKnocking},
      {"knocking when invited", "@dave:h", kMember, "@dave:h", kKnock, Forbid, kKnocking},
      {"knocking when in", "@carl:h", kMember, "@carl:h", kKnock, Forbid, kKnocking},

      {"no membership", "@carl:h", kMember, "@carl:h", "{}", Malformed},
      {"membership of a wrong type", "@carl:h", kMember, "@carl:h", R"({"membership":1})", Malformed},
      {"no state key", "@carl:h", kMember, nullptr, kJoin, Malformed},
      {"a state key that is no user", "@carl:h", kMember, "carl", kInvite, Malformed},
      {"an unknown membership", "@carl:h", kMember, "@carl:h", R"({"membership":"x"})", Forbid},
  };
  run(rows);
}

TEST_CASE("messages and state follow the power levels") {
  constexpr const char* kLevels =
      R"({"m.room.power_levels|":{"users":{"@ann:h":100,"@bob:h":50},"events_default":10,"users_default":5,
          "events":{"m.low":5,"m.room.name":60,"m.room.topic":0}}})";
  const Row rows[] = {
      {"a member speaks", "@carl:h", "m.room.message", nullptr, "{}", Allow},
      {"a stranger speaks", "@hal:h", "m.room.message", nullptr, "{}", Forbid},
      {"an invited user speaks", "@dave:h", "m.room.message", nullptr, "{}", Forbid},
      {"a banned user speaks", "@eve:h", "m.room.message", nullptr, "{}", Forbid},
      {"one who left speaks", "@gus:h", "m.room.message", nullptr, "{}", Forbid},
      {"one who knocks speaks", "@fay:h", "m.room.message", nullptr, "{}", Forbid},
      {"below events_default", "@carl:h", "m.room.message", nullptr, "{}", Forbid, kLevels},
      {"users_default is enough for the type", "@carl:h", "m.low", nullptr, "{}", Allow, kLevels},
      {"the type's own level forbids state", "@bob:h", "m.room.name", "", "{}", Forbid, kLevels},
      {"the type's own level allows state", "@carl:h", "m.room.topic", "", "{}", Allow, kLevels},
      {"state needs 50 by default", "@carl:h", "m.room.name", "", "{}", Forbid},
      {"the moderator sets state", "@bob:h", "m.room.name", "", "{}", Allow},
      {"state under one's own id", "@bob:h", "x", "@bob:h", "{}", Allow},
      {"state under another's id", "@alice:h", "x", "@bob:h", "{}", Forbid},
      {"state under what only looks like an id", "@alice:h", "x", "@", "{}", Forbid},
      {"aliases have no rule of their own", "@carl:h", "m.room.aliases", "h", R"({"aliases":[]})", Forbid},
      {"aliases by the moderator", "@bob:h", "m.room.aliases", "other", R"({"aliases":[]})", Allow},
      {"a redaction is let in from any member", "@carl:h", "m.room.redaction", nullptr, "{}", Allow},
      {"a redaction whose type needs more", "@carl:h", "m.room.redaction", nullptr, "{}", Forbid,
       R"({"m.room.power_levels|":{"events":{"m.room.redaction":20}}})"},
      {"a third-party invite event", "@carl:h", "m.room.third_party_invite", "t", "{}", Allow},
      {"a third-party invite event, too low", "@carl:h", "m.room.third_party_invite", "t", "{}", Forbid, kInvite50},
      {"a tombstone by the moderator", "@bob:h", "m.room.tombstone", "", "{}", Allow},
      {"without power levels the creator has all", "@alice:h", "m.room.name", "", "{}", Allow,
       R"({"m.room.power_levels|":null})"},
      {"without power levels others have none", "@bob:h", "m.room.name", "", "{}", Forbid,
       R"({"m.room.power_levels|":null})"},
      {"without power levels anyone may speak", "@carl:h", "m.room.message", nullptr, "{}", Allow,
       R"({"m.room.power_levels|":null})"},
      {"no create event, no room", "@alice:h", "m.room.message", nullptr, "{}", Forbid, R"({"m.room.create|":null})"},
      {"another server where m.federate is false", "@x:other", "m.room.message", nullptr, "{}", Forbid,
       R"({"m.room.create|":{"creator":"@alice:h","m.federate":false},"m.room.member|@x:other":{"membership":"join"}})"},
      {"another server where it is not", "@x:other", "m.room.message", nullptr, "{}", Allow,
       R"({"m.room.member|@x:other":{"membership":"join"}})"},
      {"a second create event", "@alice:h", "m.room.create", "", R"({"room_version":"11"})", Forbid},
  };
  run(rows);
}

TEST_CASE("power levels are given and taken only up to one's own") {
  constexpr const char* kPl = "m.room.power_levels";
  constexpr const char* kOpen =
      R"({"m.room.power_levels|":{"users":{"@ann:h":100,"@bob:h":50,"@bo:h":50,"@cat:h":20},"ban":60,"invite":10,
          "events":{"m.room.power_levels":50,"x":60,"y":20},"notifications":{"room":60}}})";
  // The content of kOpen, with one thing different in every row.
  const auto with = [](const char* users, const char* rest) {
    return std::string(R"({"users":)") + users + rest + "}";
  };
  const char* same_users = R"({"@ann:h":100,"@bob:h":50,"@bo:h":50,"@cat:h":20})";
  const char* same_rest =
      R"(,"ban":60,"invite":10,"events":{"m.room.power_levels":50,"x":60,"y":20},"notifications":{"room":60})";
  struct Change {
    const char* what;
    std::string content;
    Verdict verdict;
  };
  const Change changes[] = {
      {"nothing changed", with(same_users, same_rest), Allow},
      {"a higher user lowered", with(R"({"@ann:h":10,"@bob:h":50,"@bo:h":50,"@cat:h":20})", same_rest), Forbid},
      {"a higher user removed", with(R"({"@bob:h":50,"@bo:h":50,"@cat:h":20})", same_rest), Forbid},
      {"an equal user lowered", with(R"({"@ann:h":100,"@bob:h":50,"@bo:h":1,"@cat:h":20})", same_rest), Forbid},
      {"an equal user removed", with(R"({"@ann:h":100,"@bob:h":50,"@cat:h":20})", same_rest), Forbid},
      {"a lower user raised", with(R"({"@ann:h":100,"@bob:h":50,"@bo:h":50,"@cat:h":50})", same_rest), Allow},
      {"a lower user removed", with(R"({"@ann:h":100,"@bob:h":50,"@bo:h":50})", same_rest), Allow},
      {"a lower user raised too far", with(R"({"@ann:h":100,"@bob:h":50,"@bo:h":50,"@cat:h":51})", same_rest), Forbid},
      {"oneself lowered", with(R"({"@ann:h":100,"@bob:h":5,"@bo:h":50,"@cat:h":20})", same_rest), Allow},
      {"oneself removed", with(R"({"@ann:h":100,"@bo:h":50,"@cat:h":20})", same_rest), Allow},
      {"oneself raised", with(R"({"@ann:h":100,"@bob:h":51,"@bo:h":50,"@cat:h":20})", same_rest), Forbid},
      {"a user added", with(R"({"@ann:h":100,"@bob:h":50,"@bo:h":50,"@cat:h":20,"@z:h":50})", same_rest), Allow},
      {"a user added too high", with(R"({"@ann:h":100,"@bob:h":50,"@bo:h":50,"@cat:h":20,"@z:h":51})", same_rest),
       Forbid},
      {"ban taken down from above",
       with(same_users,
            R"(,"ban":50,"invite":10,"events":{"m.room.power_levels":50,"x":60,"y":20},"notifications":{"room":60})"),
       Forbid},
      {"ban removed from above",
       with(same_users,
            R"(,"invite":10,"events":{"m.room.power_levels":50,"x":60,"y":20},"notifications":{"room":60})"),
       Forbid},
      {"invite raised",
       with(same_users,
            R"(,"ban":60,"invite":50,"events":{"m.room.power_levels":50,"x":60,"y":20},"notifications":{"room":60})"),
       Allow},
      {"invite raised too far",
       with(same_users,
            R"(,"ban":60,"invite":51,"events":{"m.room.power_levels":50,"x":60,"y":20},"notifications":{"room":60})"),
       Forbid},
      {"kick added", with(same_users, std::string(same_rest).append(R"(,"kick":50)").c_str()), Allow},
      {"kick added too high", with(same_users, std::string(same_rest).append(R"(,"kick":51)").c_str()), Forbid},
      {"redact added too high", with(same_users, std::string(same_rest).append(R"(,"redact":51)").c_str()), Forbid},
      {"users_default added too high",
       with(same_users, std::string(same_rest).append(R"(,"users_default":51)").c_str()), Forbid},
      {"events_default added", with(same_users, std::string(same_rest).append(R"(,"events_default":50)").c_str()),
       Allow},
      {"events_default added too high",
       with(same_users, std::string(same_rest).append(R"(,"events_default":51)").c_str()), Forbid},
      {"state_default added too high",
       with(same_users, std::string(same_rest).append(R"(,"state_default":51)").c_str()), Forbid},
      {"an event's level lowered from above",
       with(same_users,
            R"(,"ban":60,"invite":10,"events":{"m.room.power_levels":50,"x":50,"y":20},"notifications":{"room":60})"),
       Forbid},
      {"an event's level removed from above",
       with(same_users,
            R"(,"ban":60,"invite":10,"events":{"m.room.power_levels":50,"y":20},"notifications":{"room":60})"),
       Forbid},
      {"an event's level changed",
       with(same_users,
            R"(,"ban":60,"invite":10,"events":{"m.room.power_levels":50,"x":60,"y":50},"notifications":{"room":60})"),
       Allow},
      {"an event's level removed",
       with(same_users,
            R"(,"ban":60,"invite":10,"events":{"m.room.power_levels":50,"x":60},"notifications":{"room":60})"),
       Allow},
      {"an event's level added too high",
       with(
           same_users,
           R"(,"ban":60,"invite":10,"events":{"m.room.power_levels":50,"x":60,"y":20,"z":51},"notifications":{"room":60})"),
       Forbid},
      {"all events' levels removed", with(same_users, R"(,"ban":60,"invite":10,"notifications":{"room":60})"), Forbid},
      {"a notification level taken down",
       with(same_users,
            R"(,"ban":60,"invite":10,"events":{"m.room.power_levels":50,"x":60,"y":20},"notifications":{"room":50})"),
       Forbid},
      {"a notification level added",
       with(
           same_users,
           R"(,"ban":60,"invite":10,"events":{"m.room.power_levels":50,"x":60,"y":20},"notifications":{"room":60,"n":50})"),
       Allow},
      {"a level that is text", with(same_users, R"(,"ban":"60")"), Malformed},
      {"a level that is null", with(same_users, R"(,"kick":null)"), Malformed},
      {"a level that is a fraction", with(same_users, R"(,"ban":60.0)"), Malformed},
      {"an event's level that is text", with(same_users, R"(,"events":{"x":"1"})"), Malformed},
      {"events that are a list", with(same_users, R"(,"events":[])"), Malformed},
      {"notifications that are a number", with(same_users, R"(,"notifications":1)"), Malformed},
      {"users that are a list", with("[]", same_rest), Malformed},
      {"a user's level that is text", with(R"({"@ann:h":"100"})", same_rest), Malformed},
      {"a user id that is none", with(R"({"ann":100})", same_rest), Malformed},
      {"a user id without a server", with(R"({"@ann":100})", same_rest), Malformed},
  };
  std::vector<Row> rows;
  for (const auto& c : changes) {
    rows.push_back({c.what, "@bob:h", kPl, "", c.content.c_str(), c.verdict, kOpen});
  }
  const Row more[] = {
      {"the first power levels may be anything", "@alice:h", kPl, "", R"({"users":{"@bob:h":500},"ban":900})", Allow,
       R"({"m.room.power_levels|":null})"},
      {"a member sets them", "@carl:h", kPl, "", "{}", Forbid},
      {"the creator is listed", "@alice:h", kPl, "", R"({"users":{"@alice:h":100,"@ann:h":100,"@bob:h":50}})",
       Malformed, "{}", V12},
      {"the creator is listed, first", "@alice:h", kPl, "", R"({"users":{"@alice:h":100}})", Malformed,
       R"({"m.room.power_levels|":null})", V12},
      {"the creator is listed", "@alice:h", kPl, "", R"({"users":{"@alice:h":100,"@ann:h":100,"@bob:h":50}})", Allow,
       "{}", Before12},
      {"an additional creator is listed", "@alice:h", kPl, "", R"({"users":{"@ann:h":100,"@bob:h":50}})", Malformed,
       R"({"m.room.create|":{"additional_creators":["@ann:h"]}})", V12},
      {"additional creators mean nothing before 12", "@alice:h", kPl, "",
       R"({"users":{"@alice:h":100,"@ann:h":100,"@bob:h":50}})", Allow,
       R"({"m.room.create|":{"creator":"@alice:h","additional_creators":["@ann:h"]}})", Before12},
      {"infinite power takes 100 away", "@alice:h", kPl, "", R"({"users":{"@bob:h":50}})", Allow, "{}", V12},
      {"100 cannot take 100 away", "@alice:h", kPl, "", R"({"users":{"@alice:h":100,"@bob:h":50}})", Forbid, "{}",
       Before12},
      {"infinite power gives more than 100", "@alice:h", kPl, "",
       R"({"users":{"@ann:h":100,"@bob:h":1000},"ban":5000})", Allow, "{}", V12},
      {"a level beyond the integers of canonical JSON", "@alice:h", kPl, "", R"({"users":{"@bob:h":9007199254740992}})",
       Malformed},
      {"100 gives no more than 100", "@alice:h", kPl, "", R"({"users":{"@alice:h":100,"@ann:h":100,"@bob:h":101}})",
       Forbid, "{}", Before12},
  };
  rows.insert(rows.end(), std::begin(more), std::end(more));
  run(rows);
}

TEST_CASE("a room begins with its create event and the creator's join") {
  struct Create {
    const char* what;
    const char* content;
    const char* room_id;
    bool prev;
    unsigned allowed;
  };
  const Create rows[] = {
      {"creator given", R"({"room_version":"%","creator":"@a:h"})", "!r:h", false, Before12},
      {"no creator", R"({"room_version":"%"})", "!r:h", false, V11},
      {"no room id", R"({"room_version":"%","creator":"@a:h"})", "", false, V12},
      {"another server's room id", R"({"room_version":"%","creator":"@a:h"})", "!r:x", false, 0},
      {"not the first event", R"({"room_version":"%","creator":"@a:h"})", "!r:h", true, 0},
      {"another version", R"({"room_version":"9","creator":"@a:h"})", "!r:h", false, 0},
      {"no version", R"({"creator":"@a:h"})", "!r:h", false, 0},
      {"additional creators", R"({"room_version":"%","additional_creators":["@b:h"]})", "", false, V12},
      {"additional creators that are no ids", R"({"room_version":"%","additional_creators":["b"]})", "", false, 0},
      {"additional creators that are text", R"({"room_version":"%","additional_creators":"@b:h"})", "", false, 0},
  };
  for (const auto* version : room_versions()) {
    const unsigned bit = version->id == "10" ? V10 : version->id == "11" ? V11 : V12;
    for (const auto& r : rows) {
      CAPTURE(version->id);
      CAPTURE(r.what);
      std::string text = r.content;
      if (const auto at = text.find('%'); at != std::string::npos) text.replace(at, 1, version->id);
      const auto content = must_parse_object(text);
      const std::vector<std::string_view> prev(r.prev ? 1 : 0, "$x");
      // Without a room id the domains cannot match either in the older versions.
      const bool allowed = authorize(*version,
                                     {.room_id = r.room_id,
                                      .sender = "@a:h",
                                      .type = "m.room.create",
                                      .state_key = "",
                                      .content = &content,
                                      .prev_events = prev},
                                     FakeState{})
                               .has_value();
      CHECK(allowed == ((r.allowed & bit) != 0));
    }

    FakeState fresh;
    fresh.set("m.room.create", "", must_parse_object(R"({"creator":"@a:h"})"), "@a:h");
    const auto join = must_parse_object(kJoin);
    const auto joins = [&](std::string_view user, std::string_view prev) {
      const std::vector<std::string_view> before{prev};
      return authorize(*version,
                       {.room_id = version->room_id_is_hash ? "!create" : "!r:h",
                        .sender = user,
                        .type = kMember,
                        .state_key = user,
                        .content = &join,
                        .prev_events = before},
                       fresh)
          .has_value();
    };
    CHECK(joins("@a:h", "$create"));
    CHECK_FALSE(joins("@b:h", "$create"));
    CHECK_FALSE(joins("@a:h", "$later"));
  }
}

TEST_CASE("an event of another room is refused in version 12") {
  const auto state = room(kRoomVersion12);
  const json::object content;
  CHECK_FALSE(
      authorize(kRoomVersion12, {.room_id = "!other", .sender = "@carl:h", .type = "x", .content = &content}, state));
  CHECK_FALSE(authorize(kRoomVersion12, {.room_id = "", .sender = "@carl:h", .type = "x", .content = &content}, state));
}

TEST_CASE("auth_events are chosen by type, membership and room version") {
  const auto names = [](const RoomVersion& v, const char* sender, const char* type, const char* state_key,
                        const char* content) {
    const auto c = must_parse_object(content);
    AuthEvent e{.room_id = "!r:h", .sender = sender, .type = type, .content = &c};
    if (state_key) e.state_key = state_key;
    std::string out;
    for (const auto& k : auth_event_keys(v, e)) {
      std::string_view t = k.type;
      t.remove_prefix(std::string_view("m.room.").size());
      out += (out.empty() ? "" : " ") + std::string(t) + (k.state_key.empty() ? "" : "/" + std::string(k.state_key));
    }
    return out;
  };
  const auto& v = kRoomVersion11;
  CHECK(names(v, "@a:h", "m.room.create", "", "{}") == "");
  CHECK(names(v, "@a:h", "m.room.message", nullptr, "{}") == "create power_levels member/@a:h");
  CHECK(names(kRoomVersion12, "@a:h", "m.room.message", nullptr, "{}") == "power_levels member/@a:h");
  CHECK(names(v, "@a:h", kMember, "@a:h", kJoin) == "create power_levels member/@a:h join_rules");
  CHECK(names(v, "@a:h", kMember, "@b:h", kInvite) == "create power_levels member/@a:h member/@b:h join_rules");
  CHECK(names(v, "@a:h", kMember, "@b:h", kBan) == "create power_levels member/@a:h member/@b:h");
  CHECK(names(v, "@a:h", kMember, "@a:h", kKnock) == "create power_levels member/@a:h join_rules");
  CHECK(names(v, "@a:h", kMember, "@a:h", kVia) == "create power_levels member/@a:h join_rules member/@carl:h");
  CHECK(names(v, "@a:h", kMember, "@b:h", R"({"membership":"invite","third_party_invite":{"signed":{"token":"t"}}})") ==
        "create power_levels member/@a:h member/@b:h join_rules third_party_invite/t");

  const json::object none;
  const AuthEvent message{.room_id = "!r:h", .sender = "@a:h", .type = "x", .content = &none};
  const AuthKey create{"m.room.create", ""};
  const AuthKey own{"m.room.member", "@a:h"};
  const AuthKey other{"m.room.member", "@b:h"};
  const auto fine = [&](const RoomVersion& version, std::vector<AuthKey> keys) {
    return check_auth_selection(version, message, keys).has_value();
  };
  CHECK(fine(v, {create, own}));
  CHECK_FALSE(fine(v, {own}));
  CHECK_FALSE(fine(v, {create, own, own}));
  CHECK_FALSE(fine(v, {create, other}));
  CHECK(fine(kRoomVersion12, {own}));
  CHECK_FALSE(fine(kRoomVersion12, {create, own}));
}

TEST_CASE("a redaction is applied by power or to one's own event") {
  const auto content = must_parse_object(R"({"users":{"@bob:h":50},"redact":50})");
  const PowerLevels levels(kRoomVersion11, &content, nullptr, "@alice:h");
  CHECK(may_redact(levels, "@carl:h", "@carl:h"));
  CHECK(may_redact(levels, "@bob:h", "@carl:h"));
  CHECK_FALSE(may_redact(levels, "@carl:h", "@bob:h"));
}

TEST_CASE("power levels have the defaults of the specification") {
  const auto create = must_parse_object(R"({"creator":"@a:h","additional_creators":["@b:h"]})");
  for (const auto* v : room_versions()) {
    CAPTURE(v->id);
    const PowerLevels none(*v, nullptr, &create, "@a:h");
    CHECK(none.user_level("@a:h") == (v->creators_are_infinite ? PowerLevels::kInfinite : 100));
    CHECK(none.user_level("@b:h") == (v->creators_are_infinite ? PowerLevels::kInfinite : 0));
    CHECK(none.user_level("@c:h") == 0);
    const json::object empty;
    const PowerLevels l(*v, &empty, &create, "@a:h");
    CHECK(l.user_level("@a:h") == (v->creators_are_infinite ? PowerLevels::kInfinite : 0));
    CHECK(l.event_level("x", true) == 50);
    CHECK(l.event_level("x", false) == 0);
    CHECK(l.invite() == 0);
    CHECK(l.kick() == 50);
    CHECK(l.ban() == 50);
    CHECK(l.redact() == 50);
    CHECK(l.notification("room") == 50);
  }
}
