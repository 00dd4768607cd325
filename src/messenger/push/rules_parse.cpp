// From JSON to the forms that `evaluate` reads.

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/push/rules.hpp"

namespace haechi::messenger::push {
namespace {

/// "strings, integers in the range of [-(2**53)+1, (2**53)-1], booleans, and null"
bool is_scalar(const json::value& v) {
  constexpr std::int64_t kMax = (std::int64_t{1} << 53) - 1;
  if (v.is_int64()) return v.get_int64() >= -kMax && v.get_int64() <= kMax;
  return v.is_string() || v.is_bool() || v.is_null();
}

/// "A decimal integer optionally prefixed by one of, ==, <, >, >= or <=."
bool read_count(std::string_view text, Condition& out) {
  using Compare = Condition::Compare;
  constexpr std::array<std::pair<std::string_view, Compare>, 5> kPrefixes{
      {{"==", Compare::Eq}, {">=", Compare::Ge}, {"<=", Compare::Le}, {"<", Compare::Lt}, {">", Compare::Gt}}};
  for (const auto& [prefix, how] : kPrefixes) {
    if (text.starts_with(prefix)) {
      out.compare = how;
      text.remove_prefix(prefix.size());
      break;
    }
  }
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) return false;
  const auto count = parse_int(text);
  if (!count) return false;
  out.count = *count;
  return true;
}

}  // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::Override: return "override";
    case Kind::Content: return "content";
    case Kind::Room: return "room";
    case Kind::Sender: return "sender";
    case Kind::Underride: return "underride";
  }
  return {};
}

Result<Kind> parse_kind(std::string_view text) {
  for (const Kind kind : kKinds) {
    if (to_string(kind) == text) return kind;
  }
  return fail(Errc::InvalidParam, "unknown kind of push rule");
}

ActionSet ActionSet::of(json::array raw) {
  ActionSet out;
  for (const json::value& action : raw) {
    if (action.is_string()) {
      // "Clients and homeservers MUST ignore" dont_notify and coalesce: they fall through here.
      if (action.get_string() == "notify") out.notify = true;
      continue;
    }
    const json::object* tweak = action.if_object();
    if (!tweak) continue;
    const auto name = get_string(*tweak, "set_tweak");
    const json::value* value = get(*tweak, "value");
    if (name == "highlight") {
      // "If a highlight tweak is given with no value, its value is defined to be true."
      out.highlight = !value || (value->is_bool() && value->get_bool());
    } else if (name == "sound" && value && value->is_string()) {
      out.sound = sv(value->get_string());
    }
  }
  out.raw = std::move(raw);
  return out;
}

Path Path::parse(std::string_view key) {
  std::vector<std::string> parts(1);
  for (std::size_t i = 0; i < key.size(); ++i) {
    if (key[i] == '.') {
      parts.emplace_back();
    } else if (key[i] == '\\' && i + 1 < key.size() && (key[i + 1] == '.' || key[i + 1] == '\\')) {
      parts.back() += key[++i];
    } else {
      // "Any other escape sequences are left as-is."
      parts.back() += key[i];
    }
  }
  constexpr std::array<std::pair<std::string_view, Root>, 5> kTop{{{"type", Root::Type},
                                                                   {"sender", Root::Sender},
                                                                   {"room_id", Root::RoomId},
                                                                   {"event_id", Root::EventId},
                                                                   {"state_key", Root::StateKey}}};
  if (parts.size() == 1) {
    for (const auto& [name, root] : kTop) {
      if (parts[0] == name) return {.root = root, .rest = {}};
    }
  } else if (parts[0] == "content") {
    parts.erase(parts.begin());
    if (parts.size() == 1 && parts[0] == "body") return {.root = Root::Body, .rest = {}};
    return {.root = Root::Content, .rest = std::move(parts)};
  }
  return {.root = Root::Other, .rest = std::move(parts)};
}

Condition Condition::compile(const json::value& given) {
  Condition out;
  const json::object* o = given.if_object();
  if (!o) return out;
  const auto kind = get_string(*o, "kind").value_or("");
  const auto key = get_string(*o, "key");
  if (kind == "event_match") {
    const auto pattern = get_string(*o, "pattern");
    if (!key || !pattern || pattern->size() > kPatternBytesMax) return out;
    out.op = Op::Match;
    out.path = Path::parse(*key);
    out.text = *pattern;
    out.glob = has_glob(*pattern);
  } else if (kind == "event_property_is" || kind == "event_property_contains") {
    const json::value* value = get(*o, "value");
    if (!key || !value || !is_scalar(*value)) return out;
    out.op = kind == "event_property_is" ? Op::Is : Op::Contains;
    out.path = Path::parse(*key);
    out.value = *value;
  } else if (kind == "contains_display_name") {
    out.op = Op::DisplayName;
  } else if (kind == "room_member_count") {
    if (read_count(get_string(*o, "is").value_or(""), out)) out.op = Op::MemberCount;
  } else if (kind == "sender_notification_permission") {
    if (!key) return out;
    out.op = Op::Permission;
    out.text = *key;
  }
  return out;
}

}  // namespace haechi::messenger::push
