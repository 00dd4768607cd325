#include "messenger/sync/event_fields.hpp"

#include "base/json.hpp"

namespace haechi::messenger {
namespace {

std::vector<std::string> path_of(std::string_view field) {
  std::vector<std::string> path(1);
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 1 < field.size() && (field[i + 1] == '.' || field[i + 1] == '\\')) {
      path.back() += field[++i];
    } else if (field[i] == '.') {
      path.emplace_back();
    } else {
      path.back() += field[i];
    }
  }
  return path;
}

void copy(const json::object& from, const std::vector<std::string>& path, json::object& to) {
  const json::object* source = &from;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const auto* value = source->if_contains(path[i]);
    if (!value) return;
    if (i + 1 == path.size()) {
      json::object* target = &to;
      for (std::size_t j = 0; j + 1 < path.size(); ++j) {
        auto& inner = (*target)[path[j]];
        if (!inner.is_object()) inner.emplace_object();
        target = &inner.get_object();
      }
      (*target)[path[i]] = *value;
      return;
    }
    source = value->if_object();
    if (!source) return;
  }
}

}  // namespace

std::string only_fields(std::string_view event, const std::vector<std::string>& fields) {
  const auto whole = must_parse_object(event);
  json::object part;
  for (const auto& field : fields) copy(whole, path_of(field), part);
  return to_text(part);
}

}  // namespace haechi::messenger
