// Every statement of the program, as it stands in the sources, against a database with every
// module's schema: what an engine does not understand shows here and not on the day it is first used.

#include <doctest/doctest.h>

#include <fstream>
#include <regex>

#include "app/parts.hpp"
#include "store/tests/engines.hpp"

using namespace haechi;
using namespace haechi::store;
using namespace haechi::store::test;

namespace {

struct Found {
  std::string where;
  std::string text;
};

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The string literals, and macros that stand for some, that follow each other from `at` on, as one.
std::string literals(std::string_view source, std::size_t at) {
  std::string text;
  while (true) {
    at = source.find_first_not_of(" \\\n", at);
    if (source.substr(at).starts_with("R\"")) {
      const auto open = source.find('(', at);
      const auto end = fmt::format("){}\"", source.substr(at + 2, open - at - 2));
      const auto close = source.find(end, open);
      text += source.substr(open + 1, close - open - 1);
      at = close + end.size();
    } else if (source[at] == '"') {
      for (++at; source[at] != '"'; ++at) {
        if (source[at] == '\\') ++at;
        text.push_back(source[at]);
      }
      ++at;
    } else if (source[at] >= 'A' && source[at] <= 'Z') {
      const auto end = source.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", at);
      const auto definition = fmt::format("#define {} ", source.substr(at, end - at));
      const auto defined = source.find(definition);
      if (defined == source.npos) return {};
      text += literals(source, defined + definition.size());
      at = end;
    } else {
      return text;
    }
  }
}

std::vector<Found> statements() {
  const auto root = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
  static const std::regex definition(R"(\bSql\s+\w+\s*(=\s*)?(\w+)?\{)");
  std::vector<Found> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    const auto& path = entry.path();
    if (path.extension() != ".cpp" && path.extension() != ".hpp") continue;
    const auto name = std::filesystem::relative(path, root).string();
    // The engines' own statements are for one engine each.
    if (name.find("/tests/") != name.npos || name.starts_with("store/sqlite") || name.starts_with("store/postgres")) {
      continue;
    }
    const auto source = read_file(path);
    for (std::sregex_iterator it(source.begin(), source.end(), definition), end; it != end; ++it) {
      out.push_back({name, literals(source, static_cast<std::size_t>(it->position() + it->length()))});
    }
  }
  return out;
}

/// What is asked only where other nodes use the same database.
bool only_for_shared(std::string_view text) { return text.ends_with("FOR UPDATE") || text.find("pg_") != text.npos; }

}  // namespace

TEST_ON_ENGINES("every statement of the program is understood") {
  if (!Engine::available()) return;
  const Engine engine;
  const auto db = engine.open();
  const auto migrated = migrate(*db, app::all_migrations());
  REQUIRE_MESSAGE(migrated, (migrated ? "" : migrated.error().message));
  REQUIRE(migrate(*db, app::all_migrations()));

  const auto all = statements();
  CHECK(all.size() > 200);
  auto c = db->connect(Access::ReadWrite);
  int n = 0;
  for (const auto& [where, text] : all) {
    if (!Engine::kShared && only_for_shared(text)) continue;
    INFO(where, ": ", text);
    CHECK_FALSE(text.empty());
    try {
      c->script(Engine::kShared ? fmt::format("PREPARE p{} AS {}", ++n, text) : "EXPLAIN " + text);
    } catch (const SqlError& e) {
      FAIL_CHECK(std::string(e.what()));
    }
  }
}
