#include "messenger/push/rules.hpp"

#include <doctest/doctest.h>

#include <string>

#include "messenger/errc.hpp"

using namespace haechi;
using namespace haechi::messenger::push;

namespace {

constexpr std::string_view kAlice = "@alice:example.org";

json::object object(std::string_view text) { return json::parse(text).as_object(); }

std::string ids(const Ruleset& rules, Kind kind) {
  std::string out;
  for (const UserRule& rule : rules.rules(kind)) out += (out.empty() ? "" : " ") + rule.id;
  return out;
}

std::string all_ids(const Ruleset& rules, std::string_view kind) {
  std::string out;
  const json::object global = rules.global(kAlice);
  for (const json::value& rule : global.at(kind).as_array()) {
    out += (out.empty() ? "" : " ") + std::string(sv(rule.at("rule_id").as_string()));
  }
  return out;
}

}  // namespace

TEST_CASE("a new user has the server-default rules in the order of the specification") {
  const Ruleset rules;
  CHECK(rules.is_default());
  CHECK(rules.stored().empty());
  CHECK(all_ids(rules, "override") ==
        ".m.rule.master .m.rule.suppress_notices .m.rule.invite_for_me .m.rule.member_event .m.rule.is_user_mention "
        ".m.rule.contains_display_name .m.rule.is_room_mention .m.rule.roomnotif .m.rule.tombstone .m.rule.reaction "
        ".m.rule.room.server_acl .m.rule.suppress_edits");
  CHECK(all_ids(rules, "content") == ".m.rule.contains_user_name");
  CHECK(all_ids(rules, "underride") ==
        ".m.rule.call .m.rule.encrypted_room_one_to_one .m.rule.room_one_to_one .m.rule.message .m.rule.encrypted");
  CHECK(all_ids(rules, "room").empty());
  CHECK(all_ids(rules, "sender").empty());
  CHECK(rules.to_client(kAlice).at("global").as_object().size() == 5);
}

TEST_CASE("server-default rules are shown with the user's own id and name") {
  const Ruleset rules;
  CHECK(*rules.get(Kind::Override, ".m.rule.master", kAlice) ==
        object(R"({"rule_id":".m.rule.master","default":true,"enabled":false,"conditions":[],"actions":[]})"));
  CHECK(*rules.get(Kind::Override, ".m.rule.is_user_mention", kAlice) ==
        object(R"({"rule_id":".m.rule.is_user_mention","default":true,"enabled":true,
          "conditions":[{"kind":"event_property_contains","key":"content.m\\.mentions.user_ids","value":"@alice:example.org"}],
          "actions":["notify",{"set_tweak":"sound","value":"default"},{"set_tweak":"highlight"}]})"));
  CHECK(*rules.get(Kind::Override, ".m.rule.invite_for_me", kAlice) ==
        object(R"({"rule_id":".m.rule.invite_for_me","default":true,"enabled":true,
          "conditions":[{"key":"type","kind":"event_match","pattern":"m.room.member"},
            {"key":"content.membership","kind":"event_match","pattern":"invite"},
            {"key":"state_key","kind":"event_match","pattern":"@alice:example.org"}],
          "actions":["notify",{"set_tweak":"sound","value":"default"}]})"));
  CHECK(*rules.get(Kind::Content, ".m.rule.contains_user_name", kAlice) ==
        object(R"({"rule_id":".m.rule.contains_user_name","default":true,"enabled":true,"pattern":"alice",
          "actions":["notify",{"set_tweak":"sound","value":"default"},{"set_tweak":"highlight"}]})"));
}

TEST_CASE("every server-default rule compiles to conditions that the specification knows") {
  const json::object global = Ruleset().global(kAlice);
  for (const auto& [kind, list] : global) {
    for (const json::value& rule : list.as_array()) {
      CAPTURE(json::serialize(rule));
      const json::array* conditions = get_array(rule.as_object(), "conditions");
      CHECK((conditions != nullptr) == (kind != "content"));
      if (!conditions) continue;
      for (const json::value& c : *conditions) CHECK(Condition::compile(c).op != Condition::Op::Never);
    }
  }
}

TEST_CASE("a user rule is shown with the members of its kind") {
  Ruleset rules;
  REQUIRE(rules.put_rule(Kind::Content, "nocake", object(R"({"pattern":"cake*lie","actions":[]})")));
  REQUIRE(rules.put_rule(Kind::Override, "o", object(R"({"actions":["notify"]})")));
  REQUIRE(rules.put_rule(Kind::Room, "!r:x", object(R"({"actions":["dont_notify"],"pattern":"p","conditions":[]})")));
  CHECK(*rules.get(Kind::Content, "nocake", kAlice) ==
        object(R"({"actions":[],"pattern":"cake*lie","rule_id":"nocake","enabled":true,"default":false})"));
  CHECK(*rules.get(Kind::Override, "o", kAlice) ==
        object(R"({"actions":["notify"],"conditions":[],"rule_id":"o","enabled":true,"default":false})"));
  CHECK(*rules.get(Kind::Room, "!r:x", kAlice) ==
        object(R"({"actions":["dont_notify"],"rule_id":"!r:x","enabled":true,"default":false})"));
  CHECK(all_ids(rules, "override").starts_with(".m.rule.master o .m.rule.suppress_notices"));
  CHECK(all_ids(rules, "content") == "nocake .m.rule.contains_user_name");
}

TEST_CASE("a bad rule is refused and changes nothing") {
  struct Row {
    Kind kind;
    std::string_view id;
    std::string_view body;
  };
  constexpr Row kRows[] = {
      {Kind::Override, ".mine", R"({"actions":[]})"},
      {Kind::Override, ".m.rule.master", R"({"actions":[]})"},
      {Kind::Override, "", R"({"actions":[]})"},
      {Kind::Override, "a/b", R"({"actions":[]})"},
      {Kind::Override, "a\\b", R"({"actions":[]})"},
      {Kind::Override, "a", R"({})"},
      {Kind::Override, "a", R"({"actions":"notify"})"},
      {Kind::Override, "a", R"({"actions":["jump"]})"},
      {Kind::Override, "a", R"({"actions":[7]})"},
      {Kind::Override, "a", R"({"actions":[{"tweak":"x"}]})"},
      {Kind::Override, "a", R"({"actions":[{"set_tweak":7}]})"},
      {Kind::Override, "a", R"({"actions":[],"conditions":{}})"},
      {Kind::Override, "a", R"({"actions":[],"conditions":["x"]})"},
      {Kind::Underride, "a", R"({"actions":[],"conditions":[{"key":"type"}]})"},
      {Kind::Underride, "a", R"({"actions":[],"conditions":[{"kind":"event_match","key":"type"}]})"},
      {Kind::Underride, "a", R"({"actions":[],"conditions":[{"kind":"event_match","pattern":"x"}]})"},
      {Kind::Underride, "a", R"({"actions":[],"conditions":[{"kind":"event_property_is","key":"type","value":{}}]})"},
      {Kind::Underride, "a",
       R"({"actions":[],"conditions":[{"kind":"event_property_contains","key":"type","value":1.5}]})"},
      {Kind::Underride, "a", R"({"actions":[],"conditions":[{"kind":"room_member_count","is":"=2"}]})"},
      {Kind::Underride, "a", R"({"actions":[],"conditions":[{"kind":"room_member_count","is":2}]})"},
      {Kind::Underride, "a", R"({"actions":[],"conditions":[{"kind":"room_member_count","is":"<-2"}]})"},
      {Kind::Underride, "a", R"({"actions":[],"conditions":[{"kind":"room_member_count","is":""}]})"},
      {Kind::Underride, "a", R"({"actions":[],"conditions":[{"kind":"sender_notification_permission"}]})"},
      {Kind::Content, "a", R"({"actions":[]})"},
      {Kind::Content, "a", R"({"actions":[],"pattern":7})"},
  };
  for (const Row& row : kRows) {
    CAPTURE(row.id);
    CAPTURE(row.body);
    Ruleset rules;
    const auto put = rules.put_rule(row.kind, row.id, object(row.body));
    REQUIRE_FALSE(put);
    const bool param = put.error().is(messenger::Errc::InvalidParam) || put.error().is(messenger::Errc::MissingParam);
    CHECK(param);
    CHECK(rules.is_default());
  }
}

TEST_CASE("a condition that nobody knows may be stored") {
  Ruleset rules;
  REQUIRE(rules.put_rule(Kind::Override, "a", object(R"({"actions":[],"conditions":[{"kind":"org.new","x":[1]}]})")));
  CHECK(rules.get(Kind::Override, "a", kAlice)->at("conditions") == json::parse(R"([{"kind":"org.new","x":[1]}])"));
}

TEST_CASE("rules that are not there answer not found") {
  Ruleset rules;
  REQUIRE(rules.put_rule(Kind::Override, "a", object(R"({"actions":[]})")));
  const auto check = [](const auto& result) {
    REQUIRE_FALSE(result);
    CHECK(result.error().is(messenger::Errc::NotFound));
  };
  for (const auto& [kind, id] : {std::pair{Kind::Override, "b"},
                                 {Kind::Underride, "a"},
                                 {Kind::Content, ".m.rule.master"},
                                 {Kind::Override, ".m.rule.none"}}) {
    check(rules.get(kind, id, kAlice));
    check(rules.set_enabled(kind, id, true));
    check(rules.set_actions(kind, id, {}));
    check(rules.delete_rule(kind, id));
  }
  check(rules.delete_rule(Kind::Override, ".m.rule.master"));
  CHECK_FALSE(parse_kind("device"));
  CHECK(*parse_kind("sender") == Kind::Sender);
}

TEST_CASE("before and after place a rule, and else it comes first or stays") {
  Ruleset rules;
  const json::object body = object(R"({"actions":["notify"]})");
  using Where = std::optional<std::string_view>;
  struct Row {
    std::string_view id;
    Where before;
    Where after;
    std::string_view order;  ///< empty: refused
  };
  const Row rows[] = {
      {"a", {}, {}, "a"},
      {"b", {}, {}, "b a"},
      {"c", {}, {}, "c b a"},
      {"d", "a", {}, "c b d a"},
      {"e", {}, "c", "c e b d a"},
      {"f", {}, "a", "c e b d a f"},
      {"c", {}, {}, "c e b d a f"},
      {"c", "f", {}, "e b d a c f"},
      {"f", {}, "e", "e f b d a c"},
      {"g", "b", "c", "e f g b d a c"},
      {"h", "x", {}, ""},
      {"h", {}, "x", ""},
      {"a", "a", {}, ""},
      {"h", ".m.rule.master", {}, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.id);
    const std::string old = ids(rules, Kind::Sender);
    const auto put = rules.put_rule(Kind::Sender, row.id, body, row.before, row.after);
    CHECK(put.has_value() == !row.order.empty());
    if (!put && row.before != row.id) CHECK(put.error().is(messenger::Errc::Unknown));
    CHECK(ids(rules, Kind::Sender) == (row.order.empty() ? old : row.order));
  }
}

TEST_CASE("a rule put again keeps whether it is enabled, a new one is enabled") {
  Ruleset rules;
  const json::object body = object(R"({"actions":["notify"]})");
  REQUIRE(rules.put_rule(Kind::Room, "!r", body));
  REQUIRE(rules.set_enabled(Kind::Room, "!r", false));
  REQUIRE(rules.put_rule(Kind::Room, "!r", object(R"({"actions":[]})")));
  CHECK_FALSE(rules.rules(Kind::Room)[0].enabled);
  CHECK(rules.rules(Kind::Room)[0].actions.raw.empty());
  REQUIRE(rules.delete_rule(Kind::Room, "!r"));
  REQUIRE(rules.put_rule(Kind::Room, "!r", body));
  CHECK(rules.rules(Kind::Room)[0].enabled);
}

TEST_CASE("what is stored is the changes, and comes back the same") {
  Ruleset rules;
  REQUIRE(rules.put_rule(
      Kind::Override, "o",
      object(R"({"actions":["notify"],"conditions":[{"kind":"x.y"},{"kind":"contains_display_name"}]})")));
  REQUIRE(rules.put_rule(Kind::Content, "c", object(R"({"pattern":"c*","actions":[]})")));
  REQUIRE(rules.put_rule(Kind::Room, "!r:x", object(R"({"actions":[]})")));
  REQUIRE(rules.put_rule(Kind::Room, "!s:x", object(R"({"actions":["notify"]})")));
  REQUIRE(rules.set_enabled(Kind::Room, "!r:x", false));
  REQUIRE(rules.set_enabled(Kind::Override, ".m.rule.master", true));
  REQUIRE(rules.set_enabled(Kind::Override, ".m.rule.reaction", false));
  REQUIRE(rules.set_actions(Kind::Underride, ".m.rule.message", {}));
  REQUIRE(rules.set_actions(Kind::Override, "o",
                            json::parse(R"(["notify",{"set_tweak":"sound","value":"x"}])").as_array()));
  const Ruleset back = Ruleset::from_stored(rules.stored());
  CHECK(back.stored() == rules.stored());
  CHECK(back.to_client(kAlice) == rules.to_client(kAlice));
  CHECK_FALSE(back.is_default());
  CHECK(rules.stored().at("default").as_object().size() == 3);
  CHECK(back.actions(DefaultRule::Message).raw.empty());
}

TEST_CASE("changes taken back leave nothing to store") {
  Ruleset rules;
  REQUIRE(rules.set_actions(Kind::Underride, ".m.rule.message", {}));
  REQUIRE(rules.set_enabled(Kind::Underride, ".m.rule.message", false));
  REQUIRE(rules.set_actions(Kind::Underride, ".m.rule.message", json::parse(R"(["notify"])").as_array()));
  REQUIRE(rules.set_enabled(Kind::Underride, ".m.rule.message", true));
  CHECK(rules.is_default());
}

TEST_CASE("damaged stored rules are left out") {
  constexpr std::string_view kRows[] = {
      R"({"override":7,"default":[]})",
      R"({"override":[7,{},{"rule_id":7},{"rule_id":"a"},{"rule_id":"a","actions":[9]}],"unknown":[{}]})",
      R"({"content":[{"rule_id":"a","actions":[]}],"default":{".m.rule.master":7,".x":{"enabled":true}}})",
  };
  for (const std::string_view text : kRows) CHECK(Ruleset::from_stored(object(text)).is_default());
}

TEST_CASE("the number and the size of rules are bounded") {
  Ruleset rules;
  const json::object body = object(R"({"actions":[]})");
  for (std::size_t i = 0; i < kUserRulesMax; ++i) REQUIRE(rules.put_rule(Kind::Room, "!" + std::to_string(i), body));
  CHECK_FALSE(rules.put_rule(Kind::Sender, "@one:more", body));
  CHECK(rules.put_rule(Kind::Room, "!7", body));
  Ruleset other;
  CHECK_FALSE(other.put_rule(Kind::Room, std::string(kRuleIdBytesMax + 1, 'a'), body));
  CHECK_FALSE(other.put_rule(Kind::Content, "a",
                             {{"actions", json::array()}, {"pattern", std::string(kPatternBytesMax + 1, 'a')}}));
  const json::value big = {{"set_tweak", "x"}, {"value", std::string(kRuleBytesMax, 'a')}};
  CHECK_FALSE(other.put_rule(Kind::Room, "a", {{"actions", json::array{big}}}));
}
