#include <doctest/doctest.h>

#include <string>

#include "messenger/push/rules.hpp"

using namespace haechi;
using namespace haechi::messenger::push;

namespace {

constexpr std::string_view kAlice = "@alice:example.org";

json::object object(std::string_view text) { return json::parse(text).as_object(); }

struct Given {
  std::string_view type = "m.room.message";
  std::string_view content = "{}";
  std::optional<std::string_view> state_key = {};
  std::int64_t members = 5;
  std::int64_t power = 0;
  std::string_view display_name = "Ally Cat";
};

Actions run(const Ruleset& rules, const Given& given, const json::object& content) {
  const json::object whole = object(R"({"origin_server_ts":17,"redacts":"$x","unsigned":{"age":3}})");
  const EventView view({.type = given.type,
                        .sender = "@bob:example.org",
                        .room_id = "!room:example.org",
                        .event_id = "$event",
                        .state_key = given.state_key,
                        .content = &content,
                        .whole = &whole});
  return evaluate(rules, view,
                  {.user_id = kAlice,
                   .localpart = "alice",
                   .display_name = given.display_name,
                   .joined_members = given.members,
                   .sender_power_level = given.power});
}

/// "rule flags": flags are n(otify), h(ighlight), s(ound).
std::string outcome(const Ruleset& rules, const Given& given) {
  const json::object content = object(given.content);
  const Actions a = run(rules, given, content);
  return std::string(a.rule_id) + " " + (a.notify ? "n" : "") + (a.highlight ? "h" : "") + (a.sound.empty() ? "" : "s");
}

bool holds(std::string_view condition, std::string_view content, const Given& given = {}) {
  Ruleset rules;
  const json::object body =
      object(std::string(R"({"actions":["notify"],"conditions":[)") + std::string(condition) + "]}");
  REQUIRE(rules.put_rule(Kind::Override, "it", body));
  Given with = given;
  with.content = content;
  return outcome(rules, with) == "it n";
}

}  // namespace

TEST_CASE("the server-default rules give each event its actions") {
  struct Row {
    Given given;
    std::string_view expected;
  };
  const Row rows[] = {
      {{.content = R"({"msgtype":"m.text","body":"hello"})"}, ".m.rule.message n"},
      {{.content = R"({"msgtype":"m.text","body":"hello"})", .members = 2}, ".m.rule.room_one_to_one ns"},
      {{.content = R"({"msgtype":"m.notice","body":"hello alice"})"}, ".m.rule.suppress_notices "},
      {{.type = "m.room.encrypted"}, ".m.rule.encrypted n"},
      {{.type = "m.room.encrypted", .members = 2}, ".m.rule.encrypted_room_one_to_one ns"},
      {{.type = "m.call.invite"}, ".m.rule.call ns"},
      {{.type = "m.room.member", .content = R"({"membership":"invite"})", .state_key = kAlice},
       ".m.rule.invite_for_me ns"},
      {{.type = "m.room.member", .content = R"({"membership":"invite"})", .state_key = "@c:d"},
       ".m.rule.member_event "},
      {{.type = "m.room.member", .content = R"({"membership":"join","displayname":"x"})", .state_key = kAlice},
       ".m.rule.member_event "},
      {{.content = R"({"body":"x","m.mentions":{"user_ids":["@z:z","@alice:example.org"]}})"},
       ".m.rule.is_user_mention nhs"},
      {{.content = R"({"body":"x","m.mentions":{"user_ids":["@alice:example.orgy",7]}})"}, ".m.rule.message n"},
      {{.content = R"({"body":"x","m.mentions":{"user_ids":"@alice:example.org"}})"}, ".m.rule.message n"},
      {{.content = R"({"body":"x","m.mentions":{"room":true}})", .power = 50}, ".m.rule.is_room_mention nh"},
      {{.content = R"({"body":"x","m.mentions":{"room":true}})", .power = 49}, ".m.rule.message n"},
      {{.content = R"({"body":"x","m.mentions":{"room":"true"}})", .power = 50}, ".m.rule.message n"},
      {{.content = R"({"body":"so, ALLY cat!"})"}, ".m.rule.contains_display_name nhs"},
      {{.content = R"({"body":"so, ally cats!"})"}, ".m.rule.message n"},
      {{.content = R"({"body":"so, ally cat!","m.mentions":{}})"}, ".m.rule.message n"},
      {{.content = R"({"body":"hey Alice"})"}, ".m.rule.contains_user_name nhs"},
      {{.content = R"({"body":"hey Alice","m.mentions":{}})"}, ".m.rule.message n"},
      {{.content = R"({"body":"hey @room","m.mentions":{}})", .power = 50}, ".m.rule.message n"},
      {{.content = R"({"body":"hey @room"})", .power = 50}, ".m.rule.roomnotif nh"},
      {{.content = R"({"body":"hey @room"})", .power = 0}, ".m.rule.message n"},
      {{.type = "m.room.tombstone", .state_key = ""}, ".m.rule.tombstone nh"},
      {{.type = "m.room.tombstone"}, " "},
      {{.type = "m.room.tombstone", .state_key = "x"}, " "},
      {{.type = "m.reaction"}, ".m.rule.reaction "},
      {{.type = "m.room.server_acl", .state_key = ""}, ".m.rule.room.server_acl "},
      {{.content = R"({"body":"* x","m.relates_to":{"rel_type":"m.replace","event_id":"$a"}})"},
       ".m.rule.suppress_edits "},
      {{.content =
            R"({"body":"* x","m.mentions":{"user_ids":["@alice:example.org"]},"m.relates_to":{"rel_type":"m.replace"}})"},
       ".m.rule.is_user_mention nhs"},
      {{.content = R"({"body":"x","m.relates_to":{"rel_type":"m.thread"}})"}, ".m.rule.message n"},
      {{.type = "m.room.topic", .content = R"({"topic":"alice"})", .state_key = ""}, " "},
      {{.type = "org.example.custom", .content = R"({"body":"alice"})"}, ".m.rule.contains_user_name nhs"},
      {{.content = R"({"body":42,"msgtype":[],"m.relates_to":"x","m.mentions":null})"}, ".m.rule.message n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.given.type);
    CAPTURE(row.given.content);
    CHECK(outcome(Ruleset(), row.given) == row.expected);
  }
}

TEST_CASE("an event without content and a user without a name are no trouble") {
  const EventView view({.type = "m.room.message"});
  CHECK(evaluate(Ruleset(), view, {}).rule_id == ".m.rule.message");
}

TEST_CASE("every server-default rule can be turned off, and the next one takes over") {
  struct Row {
    Kind kind;
    std::string_view off;
    Given given;
    std::string_view expected;
  };
  const Row rows[] = {
      {Kind::Override,
       ".m.rule.suppress_notices",
       {.content = R"({"msgtype":"m.notice","body":"x"})"},
       ".m.rule.message n"},
      {Kind::Override,
       ".m.rule.invite_for_me",
       {.type = "m.room.member", .content = R"({"membership":"invite"})", .state_key = kAlice},
       ".m.rule.member_event "},
      {Kind::Override, ".m.rule.member_event", {.type = "m.room.member", .state_key = "@c:d"}, " "},
      {Kind::Override,
       ".m.rule.is_user_mention",
       {.content = R"({"m.mentions":{"user_ids":["@alice:example.org"]}})"},
       ".m.rule.message n"},
      {Kind::Override, ".m.rule.contains_display_name", {.content = R"({"body":"ally cat"})"}, ".m.rule.message n"},
      {Kind::Override,
       ".m.rule.is_room_mention",
       {.content = R"({"m.mentions":{"room":true}})", .power = 99},
       ".m.rule.message n"},
      {Kind::Override, ".m.rule.roomnotif", {.content = R"({"body":"@room"})", .power = 99}, ".m.rule.message n"},
      {Kind::Override, ".m.rule.tombstone", {.type = "m.room.tombstone", .state_key = ""}, " "},
      {Kind::Override, ".m.rule.reaction", {.type = "m.reaction"}, " "},
      {Kind::Override, ".m.rule.room.server_acl", {.type = "m.room.server_acl", .state_key = ""}, " "},
      {Kind::Override,
       ".m.rule.suppress_edits",
       {.content = R"({"m.relates_to":{"rel_type":"m.replace"}})"},
       ".m.rule.message n"},
      {Kind::Content, ".m.rule.contains_user_name", {.content = R"({"body":"alice"})"}, ".m.rule.message n"},
      {Kind::Underride, ".m.rule.call", {.type = "m.call.invite"}, " "},
      {Kind::Underride,
       ".m.rule.encrypted_room_one_to_one",
       {.type = "m.room.encrypted", .members = 2},
       ".m.rule.encrypted n"},
      {Kind::Underride, ".m.rule.room_one_to_one", {.members = 2}, ".m.rule.message n"},
      {Kind::Underride, ".m.rule.message", {}, " "},
      {Kind::Underride, ".m.rule.encrypted", {.type = "m.room.encrypted"}, " "},
  };
  for (const Row& row : rows) {
    CAPTURE(row.off);
    Ruleset rules;
    REQUIRE(rules.set_enabled(row.kind, row.off, false));
    CHECK(outcome(rules, row.given) == row.expected);
  }
  Ruleset rules;
  REQUIRE(rules.set_enabled(Kind::Override, ".m.rule.master", true));
  REQUIRE(rules.put_rule(Kind::Override, "mine", object(R"({"actions":["notify"]})")));
  CHECK(outcome(rules, {}) == ".m.rule.master ");
}

TEST_CASE("conditions hold as the specification says") {
  struct Row {
    std::string_view condition;
    std::string_view content;
    bool expected;
    Given given = {};
  };
  const Row rows[] = {
      {R"({"kind":"event_match","key":"content.topic","pattern":"lunc?*"})", R"({"topic":"Lunch plans"})", true},
      {R"({"kind":"event_match","key":"content.topic","pattern":"lunc?*"})", R"({"topic":null})", false},
      {R"({"kind":"event_match","key":"content.topic","pattern":"*"})", R"({})", false},
      {R"({"kind":"event_match","key":"content.topic","pattern":"*"})", R"({"topic":7})", false},
      {R"({"kind":"event_match","key":"content.body","pattern":"beer"})", R"({"body":"a beer, now"})", true},
      {R"({"kind":"event_match","key":"content.body","pattern":"b*r"})", R"({"body":"a beer, now"})", true},
      {R"({"kind":"event_match","key":"content.body","pattern":"beer"})", R"({"body":"beers"})", false},
      {R"({"kind":"event_match","key":"content.other","pattern":"beer"})", R"({"other":"a beer"})", false},
      {R"({"kind":"event_match","key":"room_id","pattern":"!room:example.org"})", "{}", true},
      {R"({"kind":"event_match","key":"room_id","pattern":"!room:*"})", "{}", true},
      {R"({"kind":"event_match","key":"sender","pattern":"@BOB:example.org"})", "{}", true},
      {R"({"kind":"event_match","key":"sender","pattern":"@bo:example.org"})", "{}", false},
      {R"({"kind":"event_match","key":"type","pattern":"m.room.*"})", "{}", true},
      {R"({"kind":"event_match","key":"event_id","pattern":"$event"})", "{}", true},
      {R"({"kind":"event_match","key":"redacts","pattern":"$x"})", "{}", true},
      {R"({"kind":"event_match","key":"state_key","pattern":""})", "{}", false},
      {R"({"kind":"event_match","key":"state_key","pattern":""})", "{}", true, {.state_key = ""}},
      {R"({"kind":"event_match","key":"content","pattern":"*"})", "{}", false},
      {R"({"kind":"event_match","key":"content.a.b","pattern":"c"})", R"({"a":{"b":"c"}})", true},
      {R"({"kind":"event_match","key":"content.a\\.b","pattern":"c"})", R"({"a.b":"c"})", true},
      {R"({"kind":"event_match","key":"content.a\\.b","pattern":"c"})", R"({"a":{"b":"c"}})", false},
      {R"({"kind":"event_match","key":"content.a\\\\b","pattern":"c"})", R"({"a\\b":"c"})", true},
      {R"({"kind":"event_match","key":"content.a\\x","pattern":"c"})", R"({"a\\x":"c"})", true},
      {R"({"kind":"event_match","key":"content.","pattern":"c"})", R"({"":"c"})", true},
      {R"({"kind":"event_match","key":"content.a.b","pattern":"c"})", R"({"a":"b"})", false},
      {R"({"kind":"event_property_is","key":"content.m\\.federate","value":true})", R"({"m.federate":true})", true},
      {R"({"kind":"event_property_is","key":"content.m\\.federate","value":true})", R"({"m.federate":"true"})", false},
      {R"({"kind":"event_property_is","key":"content.m\\.federate","value":true})", R"({"m.federate":1})", false},
      {R"({"kind":"event_property_is","key":"content.n","value":1})", R"({"n":1})", true},
      {R"({"kind":"event_property_is","key":"content.n","value":null})", R"({"n":null})", true},
      {R"({"kind":"event_property_is","key":"content.n","value":null})", R"({})", false},
      {R"({"kind":"event_property_is","key":"content.n","value":"Ab"})", R"({"n":"ab"})", false},
      {R"({"kind":"event_property_is","key":"content.n","value":"a*"})", R"({"n":"ab"})", false},
      {R"({"kind":"event_property_is","key":"content.body","value":"ab"})", R"({"body":"ab"})", true},
      {R"({"kind":"event_property_is","key":"type","value":"m.room.message"})", R"({})", true},
      {R"({"kind":"event_property_is","key":"origin_server_ts","value":17})", R"({})", true},
      {R"({"kind":"event_property_is","key":"unsigned.age","value":3})", R"({})", true},
      {R"({"kind":"event_property_contains","key":"content.alt_aliases","value":"#a:b"})",
       R"({"alt_aliases":["#c:d","#a:b"]})", true},
      {R"({"kind":"event_property_contains","key":"content.alt_aliases","value":":b"})", R"({"alt_aliases":["#a:b"]})",
       false},
      {R"({"kind":"event_property_contains","key":"content.l","value":null})", R"({"l":[[],{},1.5,null]})", true},
      {R"({"kind":"event_property_contains","key":"content.l","value":1})", R"({"l":[true,"1",1.0]})", false},
      {R"({"kind":"event_property_contains","key":"content.l","value":"x"})", R"({"l":"x"})", false},
      {R"({"kind":"contains_display_name"})", R"({"body":"my ally cat"})", true},
      {R"({"kind":"contains_display_name"})", R"({"body":"my ally cat"})", false, {.display_name = ""}},
      {R"({"kind":"room_member_count","is":"5"})", "{}", true},
      {R"({"kind":"room_member_count","is":"==5"})", "{}", true},
      {R"({"kind":"room_member_count","is":"<5"})", "{}", false},
      {R"({"kind":"room_member_count","is":"<=5"})", "{}", true},
      {R"({"kind":"room_member_count","is":">4"})", "{}", true},
      {R"({"kind":"room_member_count","is":">=6"})", "{}", false},
      {R"({"kind":"sender_notification_permission","key":"room"})", "{}", true, {.power = 50}},
      {R"({"kind":"sender_notification_permission","key":"room"})", "{}", false, {.power = 49}},
      {R"({"kind":"sender_notification_permission","key":"other"})", "{}", true, {.power = 50}},
      {R"({"kind":"org.example.unknown"})", "{}", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.condition);
    CAPTURE(row.content);
    CHECK(holds(row.condition, row.content, row.given) == row.expected);
  }
}

TEST_CASE("all conditions have to hold, and none always do") {
  Ruleset rules;
  REQUIRE(rules.put_rule(Kind::Override, "both", object(R"({"actions":["notify"],"conditions":[
      {"kind":"room_member_count","is":"<=10"},{"kind":"event_match","key":"content.body","pattern":"beer"}]})")));
  CHECK(outcome(rules, {.content = R"({"body":"beer"})"}) == "both n");
  CHECK(outcome(rules, {.content = R"({"body":"beer"})", .members = 11}) == ".m.rule.message n");
  REQUIRE(rules.put_rule(Kind::Underride, "all", object(R"({"actions":[]})")));
  CHECK(outcome(rules, {.content = R"({"body":"x"})"}) == "all ");
}

TEST_CASE("kinds are asked in order and user-defined rules before the server's") {
  Ruleset rules;
  const auto put = [&](Kind kind, std::string_view id, std::string_view body) {
    REQUIRE(rules.put_rule(kind, id, object(body)));
  };
  const Given plain{.content = R"({"body":"tea time"})"};
  put(Kind::Underride, "under", R"({"actions":["notify"]})");
  CHECK(outcome(rules, plain) == "under n");
  put(Kind::Sender, "@bob:example.org", R"({"actions":["dont_notify"]})");
  CHECK(outcome(rules, plain) == "@bob:example.org ");
  put(Kind::Room, "!room:example.org", R"({"actions":["coalesce","notify"]})");
  CHECK(outcome(rules, plain) == "!room:example.org n");
  put(Kind::Room, "!other:example.org", R"({"actions":[]})");
  CHECK(outcome(rules, plain) == "!room:example.org n");
  put(Kind::Content, "tea", R"({"pattern":"tea","actions":[{"set_tweak":"highlight"}]})");
  CHECK(outcome(rules, plain) == "tea h");
  put(Kind::Content, "time", R"({"pattern":"t?me","actions":["notify",{"set_tweak":"highlight","value":false}]})");
  CHECK(outcome(rules, plain) == "time n");
  put(Kind::Override, "over", R"({"actions":["notify",{"set_tweak":"sound","value":"bing"}]})");
  CHECK(outcome(rules, plain) == "over ns");
  for (const auto& [kind, id] : {std::pair{Kind::Override, "over"},
                                 {Kind::Content, "time"},
                                 {Kind::Content, "tea"},
                                 {Kind::Room, "!room:example.org"},
                                 {Kind::Sender, "@bob:example.org"}}) {
    REQUIRE(rules.set_enabled(kind, id, false));
  }
  CHECK(outcome(rules, plain) == "under n");
}

TEST_CASE("changed actions of a server-default rule are what its events get") {
  Ruleset rules;
  REQUIRE(rules.set_actions(Kind::Underride, ".m.rule.message", json::parse(R"(["dont_notify"])").as_array()));
  CHECK(outcome(rules, {}) == ".m.rule.message ");
  const json::object content;
  CHECK(run(rules, {}, content).raw->size() == 1);
}

TEST_CASE("a thousand hostile rules cost one bounded evaluation") {
  Ruleset rules;
  std::string pattern;
  for (int i = 0; i < 250; ++i) pattern += "a ";
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(rules.put_rule(Kind::Content, std::to_string(i),
                           {{"pattern", "a*" + pattern + "b"}, {"actions", json::array()}}));
  }
  std::string body;
  for (int i = 0; i < 30'000; ++i) body += "a ";
  const json::object content{{"body", body}};
  CHECK(run(rules, {}, content).rule_id == ".m.rule.message");
}
