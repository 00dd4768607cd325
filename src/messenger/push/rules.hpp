#pragma once
// Push rules: which events notify a user, and how.
// https://spec.matrix.org/v1.19/client-server-api/#push-rules
//
// Pure values: no I/O, no clock. A `Ruleset` belongs to the loop thread that
// made it; `evaluate` only reads it. A ruleset holds what its user changed and
// nothing else, the server-default rules are code (rules_default.cpp).

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "messenger/push/rules_match.hpp"

namespace haechi::messenger::push {

inline constexpr std::size_t kUserRulesMax = 1000;  ///< per user, all kinds together
inline constexpr std::size_t kRuleIdBytesMax = 512;
inline constexpr std::size_t kPatternBytesMax = 1024;
inline constexpr std::size_t kConditionsMax = 32;                     ///< per rule
inline constexpr std::size_t kActionsMax = 32;                        ///< per rule
inline constexpr std::size_t kRuleBytesMax = std::size_t{16} * 1024;  ///< a rule's conditions and actions as JSON

/// In the order in which they are checked.
enum class Kind : std::uint8_t { Override, Content, Room, Sender, Underride };
inline constexpr std::array kKinds{Kind::Override, Kind::Content, Kind::Room, Kind::Sender, Kind::Underride};
std::string_view to_string(Kind kind);
/// messenger::Errc::InvalidParam for a kind that the specification does not know.
Result<Kind> parse_kind(std::string_view text);

/// The server-default rules, in the order in which they are checked.
enum class DefaultRule : std::uint8_t {
  Master,
  SuppressNotices,
  InviteForMe,
  MemberEvent,
  IsUserMention,
  ContainsDisplayName,
  IsRoomMention,
  RoomNotif,
  Tombstone,
  Reaction,
  ServerAcl,
  SuppressEdits,     // override
  ContainsUserName,  // content
  Call,
  EncryptedOneToOne,
  OneToOne,
  Message,
  Encrypted,  // underride
};
inline constexpr std::size_t kDefaultRules = 18;
using DefaultMask = std::uint32_t;
constexpr DefaultMask mask_of(DefaultRule rule) { return DefaultMask{1} << static_cast<unsigned>(rule); }

/// An actions array, and what it comes to.
struct ActionSet {
  /// As the client wrote it: `dont_notify` and `coalesce` stay in it and mean nothing.
  json::array raw;
  bool notify = false;
  bool highlight = false;
  std::string sound;  ///< empty: none

  static ActionSet of(json::array raw);
};

/// What a rule says about one event. Views into the ruleset (or into static
/// memory): they hold until the ruleset is changed or destroyed.
struct Actions {
  bool notify = false;
  bool highlight = false;  ///< the tweak alone; count a highlight only together with `notify`
  std::string_view sound;
  const json::array* raw = nullptr;  ///< null when no rule matched
  std::string_view rule_id;          ///< empty when no rule matched
};

/// A dot-separated property path with its escapes resolved.
/// https://spec.matrix.org/v1.19/appendices/#dot-separated-property-paths
struct Path {
  enum class Root : std::uint8_t { Type, Sender, RoomId, EventId, StateKey, Content, Body, Other };
  Root root = Root::Other;        ///< Body is exactly `content.body`
  std::vector<std::string> rest;  ///< below `content`; for Other the whole path

  static Path parse(std::string_view key);
};

struct Condition {
  enum class Op : std::uint8_t { Never, Match, Is, Contains, DisplayName, MemberCount, Permission };
  enum class Compare : std::uint8_t { Eq, Lt, Gt, Ge, Le };
  Op op = Op::Never;
  Compare compare = Compare::Eq;
  bool glob = false;  ///< Match: `text` has wildcards
  Path path;
  std::string text;        ///< Match: the pattern; Permission: the key
  json::value value;       ///< Is, Contains
  std::int64_t count = 0;  ///< MemberCount

  /// Never fails: what the specification does not know "MUST NOT match any events".
  static Condition compile(const json::value& given);
};

struct UserRule {
  std::string id;
  bool enabled = true;
  ActionSet actions;
  json::array conditions_raw;         ///< override and underride, as the client wrote them
  std::vector<Condition> conditions;  ///< content: one Match on the body
  std::string pattern;                ///< content
};

class Ruleset {
 public:
  Ruleset();

  /// From what stored() gave; whatever is damaged in it is left out.
  static Ruleset from_stored(const json::object& stored);
  /// The user's changes only; empty when there are none.
  json::object stored() const;
  bool is_default() const;

  /// The body of GET /pushrules/ and the content of `m.push_rules`.
  json::object to_client(std::string_view user_id) const;
  /// The body of GET /pushrules/global/.
  json::object global(std::string_view user_id) const;
  /// One rule as GET shows it, with `enabled` and `actions` for the endpoints of
  /// those names. Errc::NotFound.
  Result<json::object> get(Kind kind, std::string_view rule_id, std::string_view user_id) const;

  /// PUT: Errc::InvalidParam or MissingParam for what is wrong with the rule or its id,
  /// Errc::Unknown for neighbours that are not there (as the specification has it).
  /// A rule that exists keeps its place (unless told) and whether it is enabled.
  Result<> put_rule(Kind kind, std::string_view rule_id, const json::object& body,
                    std::optional<std::string_view> before = {}, std::optional<std::string_view> after = {});
  /// DELETE: Errc::NotFound also for server-default rules, which cannot be deleted.
  Result<> delete_rule(Kind kind, std::string_view rule_id);
  Result<> set_enabled(Kind kind, std::string_view rule_id, bool enabled);
  /// Errc::NotFound, Errc::InvalidParam.
  Result<> set_actions(Kind kind, std::string_view rule_id, const json::array& actions);

  const std::vector<UserRule>& rules(Kind kind) const { return user_[static_cast<std::size_t>(kind)]; }
  bool enabled(DefaultRule rule) const { return (enabled_ & mask_of(rule)) != 0; }
  const ActionSet& actions(DefaultRule rule) const;

 private:
  std::vector<UserRule>& list(Kind kind) { return user_[static_cast<std::size_t>(kind)]; }
  UserRule* find(Kind kind, std::string_view rule_id);
  void enable(DefaultRule rule, bool on);
  void override_actions(DefaultRule rule, ActionSet actions);

  std::array<std::vector<UserRule>, kKinds.size()> user_;
  DefaultMask enabled_;
  std::vector<std::pair<DefaultRule, ActionSet>> default_actions_;
};

/// The event as it was written; everything must outlive the view built from it.
struct EventFields {
  std::string_view type;
  std::string_view sender;
  std::string_view room_id;
  std::string_view event_id;
  std::optional<std::string_view> state_key;
  const json::object* content = nullptr;
  const json::object* whole = nullptr;  ///< for conditions on other top-level properties; may be null
};

/// One event, with what the server-default rules ask of it looked up once.
/// Build one per event and evaluate it for every member.
class EventView {
 public:
  enum class Type : std::uint8_t { Message, Encrypted, Member, Tombstone, Reaction, ServerAcl, CallInvite, Other };

  explicit EventView(const EventFields& fields);

  struct Found {
    std::optional<std::string_view> text;  ///< set when the property is a string
    const json::value* value = nullptr;    ///< set when it came from JSON
  };
  Found lookup(const Path& path) const;

  const EventFields& fields() const { return fields_; }
  Type type() const { return type_; }
  std::optional<std::string_view> body() const { return body_; }
  bool is_notice() const { return notice_; }
  bool is_edit() const { return edit_; }
  bool has_mentions() const { return has_mentions_; }
  bool mentions_room() const { return mentions_room_; }
  bool body_says_room() const { return body_says_room_; }
  bool mentions(std::string_view user_id) const;
  /// `content.body` has the literal text as whole words.
  bool body_has_word(std::string_view text, Work& work) const;

 private:
  EventFields fields_;
  Type type_ = Type::Other;
  bool notice_ = false;
  bool edit_ = false;
  bool has_mentions_ = false;
  bool mentions_room_ = false;
  bool body_says_room_ = false;
  std::optional<std::string_view> body_;
  const json::array* mentioned_ = nullptr;
  mutable bool starts_built_ = false;
  mutable WordStarts starts_;
};

inline constexpr std::int64_t kNotificationLevelDefault = 50;

/// What a rule may ask besides the event: at the room state when it was written.
struct EvalContext {
  std::string_view user_id;
  std::string_view localpart;     ///< of user_id
  std::string_view display_name;  ///< in that room; empty when there is none
  std::int64_t joined_members = 0;
  std::int64_t sender_power_level = 0;
  std::int64_t room_notification_level = kNotificationLevelDefault;  ///< power_levels `notifications.room`
  const json::object* notifications = nullptr;  ///< the whole of `notifications`, for other keys; may be null
};

/// The actions of the first enabled rule that matches. That one's own events never
/// notify is for the caller to see to. Allocates nothing.
Actions evaluate(const Ruleset& rules, const EventView& event, const EvalContext& context);

// --- the server-default rules (rules_default.cpp) ---

std::string_view default_rule_id(DefaultRule rule);
Kind default_rule_kind(DefaultRule rule);
/// Among those of its kind only: nothing for a known id under another kind.
std::optional<DefaultRule> find_default_rule(Kind kind, std::string_view rule_id);
const ActionSet& default_actions(DefaultRule rule);
/// Which of them are enabled until the user says otherwise.
DefaultMask default_enabled();
/// As clients see it, with the user's id and localpart filled in.
json::object default_rule_json(DefaultRule rule, bool enabled, const json::array& actions, std::string_view user_id);

}  // namespace haechi::messenger::push
