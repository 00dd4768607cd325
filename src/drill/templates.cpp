#include "drill/templates.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace haechi::drill {

Result<std::string> fill_in(std::string_view text, const Values& values) {
  const auto is_name = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; };
  std::string out;
  while (true) {
    const auto at = text.find('@');
    if (at == std::string_view::npos) break;
    const auto rest = text.substr(at + 1);
    const auto length = static_cast<std::size_t>(std::ranges::find_if_not(rest, is_name) - rest.begin());
    if (length == 0 || length == rest.size() || rest[length] != '@') {
      out += text.substr(0, at + 1);
      text.remove_prefix(at + 1);
      continue;
    }
    const auto name = rest.substr(0, length);
    const auto value = values.find(name);
    if (value == values.end()) return fail(Errc::Invalid, "no value for @" + std::string(name) + "@");
    out += text.substr(0, at);
    out += value->second;
    text.remove_prefix(at + length + 2);
  }
  out += text;
  return out;
}

Result<std::string> fill_in_file(std::string_view name, const Values& values) {
  const auto files = deploy_files();
  const auto file = std::ranges::find(files, name, &DeployFile::name);
  if (file == files.end()) return fail(Errc::NotFound, "deploy/" + std::string(name) + " is not in this program");
  auto text = fill_in(file->text, values);
  if (!text) return std::unexpected(std::move(text).error().in("deploy/" + std::string(name)));
  return text;
}

std::map<std::string, std::string> parse_environment(std::string_view text) {
  std::map<std::string, std::string> out;
  for (const auto line : split(text, '\n')) {
    const auto bare = trim(line);
    const auto equals = bare.find('=');
    if (bare.empty() || bare.starts_with('#') || equals == std::string_view::npos) continue;
    out.emplace(trim(bare.substr(0, equals)), trim(bare.substr(equals + 1)));
  }
  return out;
}

}  // namespace haechi::drill
