// Which rule matches an event. The server-default rules are written out as code
// in the order of the specification: most events are answered by a comparison
// of their type and two or three flags of the view.

#include "base/text.hpp"
#include "messenger/push/rules.hpp"

namespace haechi::messenger::push {
namespace {

constexpr std::array<std::pair<std::string_view, EventView::Type>, 7> kTypes{{
    {"m.room.message", EventView::Type::Message},
    {"m.room.encrypted", EventView::Type::Encrypted},
    {"m.room.member", EventView::Type::Member},
    {"m.room.tombstone", EventView::Type::Tombstone},
    {"m.reaction", EventView::Type::Reaction},
    {"m.room.server_acl", EventView::Type::ServerAcl},
    {"m.call.invite", EventView::Type::CallInvite},
}};

EventView::Type type_of(std::string_view type) {
  for (const auto& [name, value] : kTypes) {
    if (equals_folded(type, name)) return value;
  }
  return EventView::Type::Other;
}

/// Null below anything that is not an object.
const json::value* descend(const json::object& from, const std::vector<std::string>& path) {
  const json::object* level = &from;
  const json::value* found = nullptr;
  for (const std::string& part : path) {
    if (!level) return nullptr;
    found = level->if_contains(part);
    if (!found) return nullptr;
    level = found->if_object();
  }
  return found;
}

std::optional<std::string_view> text_of(const json::value* value) {
  if (!value || !value->is_string()) return {};
  return sv(value->get_string());
}

/// Exact, without conversions; compound values and fractions equal nothing.
bool same_scalar(const json::value& a, const json::value& b) {
  if (a.is_string()) return b.is_string() && a.get_string() == b.get_string();
  if (a.is_bool()) return b.is_bool() && a.get_bool() == b.get_bool();
  if (a.is_int64()) return b.is_int64() && a.get_int64() == b.get_int64();
  return a.is_null() && b.is_null();
}

std::int64_t level_for(const EvalContext& context, std::string_view key) {
  if (key == "room") return context.room_notification_level;
  const json::value* level = context.notifications ? get(*context.notifications, key) : nullptr;
  if (!level) return kNotificationLevelDefault;
  if (level->is_int64()) return level->get_int64();
  // Room versions before 10 also allow the number as a string.
  if (level->is_string()) return parse_int(sv(level->get_string())).value_or(kNotificationLevelDefault);
  return kNotificationLevelDefault;
}

bool compare(Condition::Compare how, std::int64_t members, std::int64_t count) {
  switch (how) {
    case Condition::Compare::Eq: return members == count;
    case Condition::Compare::Lt: return members < count;
    case Condition::Compare::Gt: return members > count;
    case Condition::Compare::Ge: return members >= count;
    case Condition::Compare::Le: return members <= count;
  }
  return false;
}

struct Evaluation {
  const Ruleset& rules;
  const EventView& event;
  const EvalContext& context;
  Work work;

  bool match(const Condition& c) {
    if (c.path.root == Path::Root::Body) {
      if (!event.body()) return false;
      if (!c.glob && !c.text.empty()) return event.body_has_word(c.text, work);
      return glob_words(c.text, *event.body(), work);
    }
    const auto found = event.lookup(c.path);
    if (!found.text) return false;
    return c.glob ? glob_whole(c.text, *found.text, work) : equals_folded(c.text, *found.text);
  }

  bool is(const Condition& c) const {
    const auto found = event.lookup(c.path);
    if (found.text) return c.value.is_string() && sv(c.value.get_string()) == *found.text;
    return found.value && same_scalar(c.value, *found.value);
  }

  bool contains(const Condition& c) {
    const auto found = event.lookup(c.path);
    const json::array* array = found.value ? found.value->if_array() : nullptr;
    if (!array) return false;
    work.left -= static_cast<std::int64_t>(array->size());
    for (const json::value& element : *array) {
      if (same_scalar(c.value, element)) return true;
    }
    return false;
  }

  bool holds(const Condition& c) {
    switch (c.op) {
      case Condition::Op::Never: return false;
      case Condition::Op::Match: return match(c);
      case Condition::Op::Is: return is(c);
      case Condition::Op::Contains: return contains(c);
      case Condition::Op::DisplayName: return event.body_has_word(context.display_name, work);
      case Condition::Op::MemberCount: return compare(c.compare, context.joined_members, c.count);
      case Condition::Op::Permission: return context.sender_power_level >= level_for(context, c.text);
    }
    return false;
  }

  static Actions of(const ActionSet& a, std::string_view rule_id) {
    return {.notify = a.notify, .highlight = a.highlight, .sound = a.sound, .raw = &a.raw, .rule_id = rule_id};
  }

  /// The first enabled user-defined rule of the kind whose conditions all hold.
  const UserRule* conditional(Kind kind) {
    for (const UserRule& rule : rules.rules(kind)) {
      if (!rule.enabled) continue;
      bool all = true;
      for (const Condition& c : rule.conditions) {
        if (!holds(c)) {
          all = false;
          break;
        }
      }
      if (all && work.left > 0) return &rule;
    }
    return nullptr;
  }

  /// Room and sender rules: the rule's id is what it is about.
  const UserRule* by_id(Kind kind, std::string_view id) const {
    for (const UserRule& rule : rules.rules(kind)) {
      if (rule.id == id) return rule.enabled ? &rule : nullptr;
    }
    return nullptr;
  }

  std::optional<DefaultRule> default_override() {
    using enum DefaultRule;
    const EventFields& e = event.fields();
    const auto type = event.type();
    if (event.is_notice() && rules.enabled(SuppressNotices)) return SuppressNotices;
    if (type == EventView::Type::Member) {
      if (rules.enabled(InviteForMe) && e.state_key && equals_folded(*e.state_key, context.user_id) && e.content &&
          equals_folded(get_string(*e.content, "membership").value_or(""), "invite")) {
        return InviteForMe;
      }
      if (rules.enabled(MemberEvent)) return MemberEvent;
    }
    const bool may_notify_room = context.sender_power_level >= context.room_notification_level;
    if (event.has_mentions()) {
      if (rules.enabled(IsUserMention) && event.mentions(context.user_id)) return IsUserMention;
      if (event.mentions_room() && may_notify_room && rules.enabled(IsRoomMention)) return IsRoomMention;
    } else if (event.body()) {
      if (rules.enabled(ContainsDisplayName) && event.body_has_word(context.display_name, work)) {
        return ContainsDisplayName;
      }
      if (event.body_says_room() && may_notify_room && rules.enabled(RoomNotif)) return RoomNotif;
    }
    const bool room_state = e.state_key && e.state_key->empty();
    if (type == EventView::Type::Tombstone && room_state && rules.enabled(Tombstone)) return Tombstone;
    if (type == EventView::Type::Reaction && rules.enabled(Reaction)) return Reaction;
    if (type == EventView::Type::ServerAcl && room_state && rules.enabled(ServerAcl)) return ServerAcl;
    if (event.is_edit() && rules.enabled(SuppressEdits)) return SuppressEdits;
    return {};
  }

  std::optional<DefaultRule> default_underride() const {
    using enum DefaultRule;
    const bool two = context.joined_members == 2;
    switch (event.type()) {
      case EventView::Type::CallInvite:
        if (rules.enabled(Call)) return Call;
        break;
      case EventView::Type::Encrypted:
        if (two && rules.enabled(EncryptedOneToOne)) return EncryptedOneToOne;
        if (rules.enabled(Encrypted)) return Encrypted;
        break;
      case EventView::Type::Message:
        if (two && rules.enabled(OneToOne)) return OneToOne;
        if (rules.enabled(Message)) return Message;
        break;
      default: break;
    }
    return {};
  }

  Actions of_default(DefaultRule rule) const { return of(rules.actions(rule), default_rule_id(rule)); }

  Actions run() {
    if (rules.enabled(DefaultRule::Master)) return of_default(DefaultRule::Master);
    if (const auto* rule = conditional(Kind::Override)) return of(rule->actions, rule->id);
    if (const auto rule = default_override()) return of_default(*rule);

    if (const auto* rule = conditional(Kind::Content)) return of(rule->actions, rule->id);
    if (!event.has_mentions() && rules.enabled(DefaultRule::ContainsUserName) &&
        event.body_has_word(context.localpart, work)) {
      return of_default(DefaultRule::ContainsUserName);
    }

    if (const auto* rule = by_id(Kind::Room, event.fields().room_id)) return of(rule->actions, rule->id);
    if (const auto* rule = by_id(Kind::Sender, event.fields().sender)) return of(rule->actions, rule->id);

    if (const auto* rule = conditional(Kind::Underride)) return of(rule->actions, rule->id);
    if (const auto rule = default_underride()) return of_default(*rule);
    return {};
  }
};

}  // namespace

EventView::EventView(const EventFields& fields) : fields_(fields), type_(type_of(fields.type)) {
  if (!fields.content) return;
  const json::object& content = *fields.content;
  body_ = text_of(get(content, "body"));
  if (const auto msgtype = text_of(get(content, "msgtype"))) notice_ = equals_folded(*msgtype, "m.notice");
  if (const json::object* relates = get_object(content, "m.relates_to")) {
    edit_ = get_string(*relates, "rel_type") == "m.replace";
  }
  if (const json::value* mentions = get(content, "m.mentions")) {
    has_mentions_ = true;
    if (const json::object* given = mentions->if_object()) {
      mentioned_ = get_array(*given, "user_ids");
      mentions_room_ = get_flag(*given, "room");
    }
  } else if (body_) {
    Work work;
    body_says_room_ = body_->find('@') != std::string_view::npos && contains_word(*body_, "@room", work);
  }
}

EventView::Found EventView::lookup(const Path& path) const {
  const auto below = [&](const json::object* from) -> Found {
    const json::value* value = from ? descend(*from, path.rest) : nullptr;
    return {.text = text_of(value), .value = value};
  };
  switch (path.root) {
    case Path::Root::Type: return {.text = fields_.type};
    case Path::Root::Sender: return {.text = fields_.sender};
    case Path::Root::RoomId: return {.text = fields_.room_id};
    case Path::Root::EventId: return {.text = fields_.event_id};
    case Path::Root::StateKey: return {.text = fields_.state_key};
    case Path::Root::Body: return {.text = body_, .value = fields_.content ? get(*fields_.content, "body") : nullptr};
    case Path::Root::Content: return below(fields_.content);
    case Path::Root::Other: return below(fields_.whole);
  }
  return {};
}

bool EventView::mentions(std::string_view user_id) const {
  if (!mentioned_) return false;
  for (const json::value& id : *mentioned_) {
    if (id.is_string() && sv(id.get_string()) == user_id) return true;
  }
  return false;
}

bool EventView::body_has_word(std::string_view text, Work& work) const {
  if (!body_ || text.empty()) return false;
  if (!starts_built_) {
    starts_.build(*body_);
    starts_built_ = true;
  }
  return starts_.may_contain(text) && contains_word(*body_, text, work);
}

Actions evaluate(const Ruleset& rules, const EventView& event, const EvalContext& context) {
  return Evaluation{.rules = rules, .event = event, .context = context, .work = {}}.run();
}

}  // namespace haechi::messenger::push
