#include "messenger/event/canonical.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <vector>

#include "base/text.hpp"
#include "messenger/event/event_errc.hpp"

namespace haechi::messenger {
namespace {

// A plain code while recursing: an Error with its strings is made once, at the end.
enum class Fault { None, Float, Range, Depth };

Result<> to_result(Fault f) {
  switch (f) {
    case Fault::None: break;
    case Fault::Float: return fail(EventErrc::BadJson, "numbers in events must be integers");
    case Fault::Range: return fail(EventErrc::BadJson, "integers in events must lie within -(2^53)+1 and 2^53-1");
    case Fault::Depth: return fail(EventErrc::BadJson, "the JSON is nested too deeply");
  }
  return {};
}

bool in_range(std::int64_t n) { return n >= -kCanonicalIntMax && n <= kCanonicalIntMax; }

using Keys = std::initializer_list<std::string_view>;
using Member = const json::key_value_pair*;

std::string_view key_of(Member m) { return {m->key().data(), m->key().size()}; }

Fault write(std::string& out, const json::value& value, std::size_t depth);

Fault write_members(std::string& out, std::span<Member> members, std::size_t depth) {
  // Bytewise order of UTF-8 is the order of code points. Most objects are small
  // and often already in order.
  const auto less = [](Member a, Member b) { return key_of(a) < key_of(b); };
  if (!std::is_sorted(members.begin(), members.end(), less)) std::sort(members.begin(), members.end(), less);
  out += '{';
  bool first = true;
  for (const Member m : members) {
    if (!first) out += ',';
    first = false;
    append_json_string(out, key_of(m));
    out += ':';
    if (const Fault f = write(out, m->value(), depth + 1); f != Fault::None) return f;
  }
  out += '}';
  return Fault::None;
}

Fault write_object(std::string& out, const json::object& object, std::size_t depth, Keys without) {
  constexpr std::size_t kOnStack = 32;
  std::array<Member, kOnStack> few;
  std::vector<Member> many;
  Member* at = few.data();
  if (object.size() > kOnStack) {
    many.resize(object.size());
    at = many.data();
  }
  std::size_t n = 0;
  for (const auto& kv : object) {
    if (without.size() != 0 && std::find(without.begin(), without.end(), key_of(&kv)) != without.end()) continue;
    at[n++] = &kv;
  }
  return write_members(out, {at, n}, depth);
}

Fault write(std::string& out, const json::value& value, std::size_t depth) {
  if (depth > kJsonDepthMax) return Fault::Depth;
  switch (value.kind()) {
    case json::kind::null: out += "null"; return Fault::None;
    case json::kind::bool_: out += value.get_bool() ? "true" : "false"; return Fault::None;
    case json::kind::int64: {
      const auto n = value.get_int64();
      if (!in_range(n)) return Fault::Range;
      std::array<char, 24> text;
      const auto end = std::to_chars(text.data(), text.data() + text.size(), n).ptr;
      out.append(text.data(), end);
      return Fault::None;
    }
    case json::kind::uint64: {
      const auto n = value.get_uint64();
      if (n > static_cast<std::uint64_t>(kCanonicalIntMax)) return Fault::Range;
      return write(out, json::value(static_cast<std::int64_t>(n)), depth);
    }
    case json::kind::double_: return Fault::Float;
    case json::kind::string: append_json_string(out, sv(value.get_string())); return Fault::None;
    case json::kind::array: {
      out += '[';
      bool first = true;
      for (const auto& item : value.get_array()) {
        if (!first) out += ',';
        first = false;
        if (const Fault f = write(out, item, depth + 1); f != Fault::None) return f;
      }
      out += ']';
      return Fault::None;
    }
    case json::kind::object: return write_object(out, value.get_object(), depth, {});
  }
  return Fault::None;
}

Fault check(const json::value& value, std::size_t depth);

Fault check_object(const json::object& object, std::size_t depth) {
  for (const auto& kv : object) {
    if (const Fault f = check(kv.value(), depth + 1); f != Fault::None) return f;
  }
  return Fault::None;
}

Fault check(const json::value& value, std::size_t depth) {
  if (depth > kJsonDepthMax) return Fault::Depth;
  switch (value.kind()) {
    case json::kind::int64: return in_range(value.get_int64()) ? Fault::None : Fault::Range;
    case json::kind::uint64:
      return value.get_uint64() <= static_cast<std::uint64_t>(kCanonicalIntMax) ? Fault::None : Fault::Range;
    case json::kind::double_: return Fault::Float;
    case json::kind::array:
      for (const auto& item : value.get_array()) {
        if (const Fault f = check(item, depth + 1); f != Fault::None) return f;
      }
      return Fault::None;
    case json::kind::object: return check_object(value.get_object(), depth);
    case json::kind::null:
    case json::kind::bool_:
    case json::kind::string: break;
  }
  return Fault::None;
}

}  // namespace

Result<> append_canonical(std::string& out, const json::value& value) { return to_result(write(out, value, 1)); }

Result<> append_canonical(std::string& out, const json::object& value) {
  return to_result(write_object(out, value, 1, {}));
}

Result<> append_canonical_without(std::string& out, const json::object& value, Keys keys) {
  return to_result(write_object(out, value, 1, keys));
}

Result<std::string> canonical(const json::object& value) {
  std::string out;
  TRY_DO(append_canonical(out, value));
  return out;
}

Result<> check_event_json(const json::value& value) { return to_result(check(value, 1)); }
Result<> check_event_json(const json::object& value) { return to_result(check_object(value, 1)); }

}  // namespace haechi::messenger
