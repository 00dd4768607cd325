#include "base/json.hpp"

#include <boost/json/src.hpp>
#include <stdexcept>

namespace haechi {

Result<json::value> parse_json(std::string_view text, json::storage_ptr storage) {
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  unsigned char scratch[2048];
  json::parser p(json::storage_ptr{}, options, scratch);
  p.reset(std::move(storage));
  boost::system::error_code ec;
  const std::size_t used = p.write(text.data(), text.size(), ec);
  if (ec) return fail(Errc::Invalid, "not JSON: " + ec.message() + " near byte " + std::to_string(used));
  return p.release();
}

Result<json::object> parse_json_object(std::string_view text, json::storage_ptr storage) {
  TRY(auto value, parse_json(text, std::move(storage)));
  if (!value.is_object()) return fail(Errc::Invalid, "a JSON object is needed here");
  return std::move(value.get_object());
}

std::optional<std::string_view> get_string(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  if (!v || !v->is_string()) return std::nullopt;
  return sv(v->get_string());
}

std::optional<std::int64_t> get_int(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  if (!v || !v->is_int64()) return std::nullopt;
  return v->get_int64();
}

std::optional<bool> get_bool(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  if (!v || !v->is_bool()) return std::nullopt;
  return v->get_bool();
}

const json::object* get_object(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v ? v->if_object() : nullptr;
}

const json::array* get_array(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v ? v->if_array() : nullptr;
}

json::object must_parse_object(std::string_view text) {
  auto parsed = parse_json_object(text);
  if (!parsed) throw std::runtime_error("stored JSON is damaged: " + parsed.error().message);
  return *std::move(parsed);
}

}  // namespace haechi
