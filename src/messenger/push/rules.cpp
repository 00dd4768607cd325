#include "messenger/push/rules.hpp"

#include <algorithm>

#include "messenger/errc.hpp"

namespace haechi::messenger::push {
namespace {

constexpr bool has_conditions(Kind kind) { return kind == Kind::Override || kind == Kind::Underride; }

std::unexpected<Error> not_found() { return fail(Errc::NotFound, "The push rule was not found."); }

Result<> check_actions(const json::array& actions) {
  if (actions.size() > kActionsMax) return fail(Errc::InvalidParam, "too many actions");
  for (const json::value& action : actions) {
    if (action.is_string()) {
      const std::string_view name = sv(action.get_string());
      if (name == "notify" || name == "dont_notify" || name == "coalesce") continue;
      return fail(Errc::InvalidParam, "unknown action");
    }
    if (!action.is_object() || !get_string(action.get_object(), "set_tweak")) {
      return fail(Errc::InvalidParam, "an action is a name or an object with 'set_tweak'");
    }
  }
  return {};
}

Result<> check_conditions(const json::array& conditions) {
  constexpr std::array<std::string_view, 6> kKnown{
      "event_match",           "event_property_is", "event_property_contains",
      "contains_display_name", "room_member_count", "sender_notification_permission"};
  if (conditions.size() > kConditionsMax) return fail(Errc::InvalidParam, "too many conditions");
  for (const json::value& condition : conditions) {
    const json::object* o = condition.if_object();
    const auto kind = o ? get_string(*o, "kind") : std::nullopt;
    if (!kind) return fail(Errc::InvalidParam, "a condition is an object with a 'kind'");
    // A kind that nobody knows yet may be stored: it matches nothing.
    if (std::ranges::find(kKnown, *kind) != kKnown.end() && Condition::compile(condition).op == Condition::Op::Never) {
      return fail(Errc::InvalidParam, "a condition of kind '" + std::string(*kind) + "' lacks what it needs");
    }
  }
  return {};
}

Result<> check_rule_id(std::string_view id) {
  if (id.empty()) return fail(Errc::InvalidParam, "a push rule needs an id");
  if (id.size() > kRuleIdBytesMax) return fail(Errc::InvalidParam, "the rule id is too long");
  // "If the string starts with a dot ("."), the request MUST be rejected as this is reserved for
  // server-default rules. Slashes ("/") and backslashes ("\\") are also not allowed."
  if (id.starts_with('.')) return fail(Errc::InvalidParam, "rule ids that start with '.' are the server's own");
  if (id.find_first_of("/\\") != std::string_view::npos) {
    return fail(Errc::InvalidParam, "rule ids have no slashes or backslashes");
  }
  return {};
}

/// Fills in what the kind makes of the body; `rule.id` is set.
Result<> read_body(Kind kind, const json::object& body, UserRule& rule) {
  if (!body.contains("actions")) return fail(Errc::MissingParam, "'actions' is missing");
  const json::array* actions = get_array(body, "actions");
  if (!actions) return fail(Errc::InvalidParam, "'actions' is not an array");
  TRY_DO(check_actions(*actions));
  std::size_t bytes = to_text(*actions).size();
  rule.actions = ActionSet::of(*actions);

  if (has_conditions(kind)) {
    if (const json::value* given = get(body, "conditions")) {
      const json::array* conditions = given->if_array();
      if (!conditions) return fail(Errc::InvalidParam, "'conditions' is not an array");
      TRY_DO(check_conditions(*conditions));
      bytes += to_text(*conditions).size();
      rule.conditions_raw = *conditions;
      for (const json::value& condition : *conditions) rule.conditions.push_back(Condition::compile(condition));
    }
  } else if (kind == Kind::Content) {
    const auto pattern = get_string(body, "pattern");
    if (!pattern) return fail(Errc::MissingParam, "a content rule needs a 'pattern'");
    if (pattern->size() > kPatternBytesMax) return fail(Errc::InvalidParam, "the pattern is too long");
    rule.pattern = *pattern;
    Condition on_body;
    on_body.op = Condition::Op::Match;
    on_body.path.root = Path::Root::Body;
    on_body.text = *pattern;
    on_body.glob = has_glob(*pattern);
    rule.conditions.push_back(std::move(on_body));
  }
  if (bytes > kRuleBytesMax) return fail(Errc::InvalidParam, "the push rule is too large");
  return {};
}

json::object user_rule_json(Kind kind, const UserRule& rule) {
  json::object out{{"rule_id", rule.id}, {"default", false}, {"enabled", rule.enabled}, {"actions", rule.actions.raw}};
  if (has_conditions(kind)) out["conditions"] = rule.conditions_raw;
  if (kind == Kind::Content) out["pattern"] = rule.pattern;
  return out;
}

}  // namespace

Ruleset::Ruleset() : enabled_(default_enabled()) {}

bool Ruleset::is_default() const {
  return enabled_ == default_enabled() && default_actions_.empty() &&
         std::ranges::all_of(user_, [](const auto& rules) { return rules.empty(); });
}

const ActionSet& Ruleset::actions(DefaultRule rule) const {
  for (const auto& [changed, actions] : default_actions_) {
    if (changed == rule) return actions;
  }
  return default_actions(rule);
}

void Ruleset::enable(DefaultRule rule, bool on) {
  enabled_ = on ? enabled_ | mask_of(rule) : enabled_ & ~mask_of(rule);
}

void Ruleset::override_actions(DefaultRule rule, ActionSet actions) {
  std::erase_if(default_actions_, [&](const auto& entry) { return entry.first == rule; });
  if (actions.raw != default_actions(rule).raw) default_actions_.emplace_back(rule, std::move(actions));
}

UserRule* Ruleset::find(Kind kind, std::string_view rule_id) {
  auto& all = list(kind);
  const auto at = std::ranges::find(all, rule_id, &UserRule::id);
  return at == all.end() ? nullptr : &*at;
}

// --- stored form: {"override": [...], ..., "default": {".m.rule.x": {"enabled": b, "actions": [...]}}} ---

json::object Ruleset::stored() const {
  json::object out;
  for (const Kind kind : kKinds) {
    if (rules(kind).empty()) continue;
    json::array list;
    for (const UserRule& rule : rules(kind)) {
      json::object item = user_rule_json(kind, rule);
      item.erase("default");
      list.push_back(std::move(item));
    }
    out[to_string(kind)] = std::move(list);
  }
  json::object changed;
  for (std::size_t i = 0; i < kDefaultRules; ++i) {
    const auto rule = static_cast<DefaultRule>(i);
    const bool toggled = ((enabled_ ^ default_enabled()) & mask_of(rule)) != 0;
    const ActionSet& now = actions(rule);
    const bool new_actions = &now != &default_actions(rule);
    if (!toggled && !new_actions) continue;
    json::object item;
    if (toggled) item["enabled"] = enabled(rule);
    if (new_actions) item["actions"] = now.raw;
    changed[default_rule_id(rule)] = std::move(item);
  }
  if (!changed.empty()) out["default"] = std::move(changed);
  return out;
}

Ruleset Ruleset::from_stored(const json::object& stored) {
  Ruleset out;
  for (const Kind kind : kKinds) {
    const json::array* list = get_array(stored, to_string(kind));
    if (!list) continue;
    for (const json::value& item : *list) {
      const json::object* o = item.if_object();
      const auto id = o ? get_string(*o, "rule_id") : std::nullopt;
      if (!id) continue;
      UserRule rule{.id = std::string(*id), .enabled = get_flag(*o, "enabled", true)};
      if (read_body(kind, *o, rule)) out.list(kind).push_back(std::move(rule));
    }
  }
  if (const json::object* changed = get_object(stored, "default")) {
    for (std::size_t i = 0; i < kDefaultRules; ++i) {
      const auto rule = static_cast<DefaultRule>(i);
      const json::object* item = get_object(*changed, default_rule_id(rule));
      if (!item) continue;
      if (const auto on = get_bool(*item, "enabled")) {
        out.enable(rule, *on);
      }
      if (const json::array* actions = get_array(*item, "actions")) {
        out.override_actions(rule, ActionSet::of(*actions));
      }
    }
  }
  return out;
}

// --- as clients see it ---

json::object Ruleset::global(std::string_view user_id) const {
  json::object out;
  for (const Kind kind : kKinds) {
    json::array list;
    const auto add_default = [&](DefaultRule rule) {
      list.push_back(default_rule_json(rule, enabled(rule), actions(rule).raw, user_id));
    };
    // "They operate at a lower priority than "user-defined rules", except for the .m.rule.master rule".
    if (kind == Kind::Override) add_default(DefaultRule::Master);
    for (const UserRule& rule : rules(kind)) list.push_back(user_rule_json(kind, rule));
    for (std::size_t i = 0; i < kDefaultRules; ++i) {
      const auto rule = static_cast<DefaultRule>(i);
      if (default_rule_kind(rule) == kind && rule != DefaultRule::Master) add_default(rule);
    }
    out[to_string(kind)] = std::move(list);
  }
  return out;
}

json::object Ruleset::to_client(std::string_view user_id) const { return {{"global", global(user_id)}}; }

Result<json::object> Ruleset::get(Kind kind, std::string_view rule_id, std::string_view user_id) const {
  if (const auto rule = find_default_rule(kind, rule_id)) {
    return default_rule_json(*rule, enabled(*rule), actions(*rule).raw, user_id);
  }
  const auto at = std::ranges::find(rules(kind), rule_id, &UserRule::id);
  if (at == rules(kind).end()) return not_found();
  return user_rule_json(kind, *at);
}

// --- changes ---

Result<> Ruleset::put_rule(Kind kind, std::string_view rule_id, const json::object& body,
                           std::optional<std::string_view> before, std::optional<std::string_view> after) {
  TRY_DO(check_rule_id(rule_id));
  UserRule rule{.id = std::string(rule_id)};
  TRY_DO(read_body(kind, body, rule));
  for (const auto& neighbour : {before, after}) {
    if (!neighbour) continue;
    if (*neighbour == rule_id) return fail(Errc::InvalidParam, "a push rule cannot stand next to itself");
    // "It is not possible to add a rule relative to a predefined server rule."
    if (!find(kind, *neighbour)) {
      return fail(Errc::Unknown, "before/after rule not found: " + std::string(*neighbour));
    }
  }

  auto& all = list(kind);
  if (UserRule* existing = find(kind, rule_id)) {
    rule.enabled = existing->enabled;
    if (!before && !after) {
      *existing = std::move(rule);
      return {};
    }
    all.erase(all.begin() + (existing - all.data()));
  } else {
    std::size_t total = 0;
    for (const auto& each : user_) total += each.size();
    if (total >= kUserRulesMax) return fail(Errc::InvalidParam, "too many push rules");
  }

  // "If both after and before are provided, the new or updated rule must be the next most important
  // rule with respect to the rule identified by before." With neither, the most important of its kind.
  auto at = all.begin();
  if (before) {
    at = std::ranges::find(all, *before, &UserRule::id);
  } else if (after) {
    at = std::ranges::find(all, *after, &UserRule::id) + 1;
  }
  all.insert(at, std::move(rule));
  return {};
}

Result<> Ruleset::delete_rule(Kind kind, std::string_view rule_id) {
  const auto gone = std::erase_if(list(kind), [&](const UserRule& rule) { return rule.id == rule_id; });
  if (gone == 0) return not_found();
  return {};
}

Result<> Ruleset::set_enabled(Kind kind, std::string_view rule_id, bool enabled) {
  if (const auto rule = find_default_rule(kind, rule_id)) {
    enable(*rule, enabled);
    return {};
  }
  UserRule* rule = find(kind, rule_id);
  if (!rule) return not_found();
  rule->enabled = enabled;
  return {};
}

Result<> Ruleset::set_actions(Kind kind, std::string_view rule_id, const json::array& actions) {
  TRY_DO(check_actions(actions));
  if (to_text(actions).size() > kRuleBytesMax) return fail(Errc::InvalidParam, "the actions are too large");
  if (const auto rule = find_default_rule(kind, rule_id)) {
    override_actions(*rule, ActionSet::of(actions));
    return {};
  }
  UserRule* rule = find(kind, rule_id);
  if (!rule) return not_found();
  rule->actions = ActionSet::of(actions);
  return {};
}

}  // namespace haechi::messenger::push
