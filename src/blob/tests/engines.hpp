#pragma once
// The databases that tests of several nodes run on: SQLite in a folder, and PostgreSQL where
// HAECHI_TEST_POSTGRES says how to reach one (see tools/private_postgres.py).

#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "base/text.hpp"
#include "store/store.hpp"

namespace haechi::blob::test {

/// "host=127.0.0.1 port=5432 ..." as pairs.
inline std::map<std::string, std::string> test_postgres() {
  std::map<std::string, std::string> out;
  const char* text = std::getenv("HAECHI_TEST_POSTGRES");
  for (const auto word : split(text ? text : "", ' ')) {
    const auto equals = word.find('=');
    if (equals != std::string_view::npos) out.emplace(word.substr(0, equals), word.substr(equals + 1));
  }
  return out;
}

inline std::vector<std::string> engines() {
  std::vector<std::string> out{"sqlite"};
  if (!test_postgres().empty()) out.push_back("postgresql");
  return out;
}

/// An empty database of its own.
inline std::unique_ptr<store::Database> fresh_database(const std::string& engine, const std::string& dir) {
  if (engine == "sqlite") return store::open_sqlite({.path = dir + "/db"}).value();
  auto where = test_postgres();
  store::PostgresOptions options{.hosts = {where["host"] + ':' + where["port"]},
                                 .database = where["dbname"],
                                 .user = where["user"],
                                 .password = where["password"]};
  static std::atomic<int> number{0};
  const auto name = "blob_" + std::to_string(::getpid()) + '_' + std::to_string(number++);
  store::open_postgres(options).value()->connect(store::Access::ReadWrite)->script("CREATE DATABASE " + name);
  options.database = name;
  return store::open_postgres(options).value();
}

}  // namespace haechi::blob::test
