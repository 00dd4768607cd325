#pragma once
// A fresh database for a test, on each engine. PostgreSQL is used when HAECHI_TEST_POSTGRES names
// a server (tools/private_postgres.py run -- ...); without it those cases do nothing.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "store/store.hpp"

namespace haechi::store::test {

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "haechi-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct OnSqlite {
  static constexpr bool kShared = false;
  static bool available() { return true; }
  std::unique_ptr<Database> open() const {
    auto opened = open_sqlite({.path = (dir.path() / "db").string(), .checkpoint_pages = 50, .cache_mib = 4});
    REQUIRE(opened);
    return *std::move(opened);
  }
  TempDir dir;
};

/// Runs one statement on the test server, outside of the engine under test.
inline std::string ask_server(const std::string& conninfo, const std::string& sql) {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> c(PQconnectdb(conninfo.c_str()), &PQfinish);
  const std::unique_ptr<PGresult, decltype(&PQclear)> r(PQexec(c.get(), sql.c_str()), &PQclear);
  const auto status = PQresultStatus(r.get());
  REQUIRE_MESSAGE((status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK), PQerrorMessage(c.get()));
  return PQntuples(r.get()) > 0 ? PQgetvalue(r.get(), 0, 0) : "";
}

class OnPostgres {
 public:
  static constexpr bool kShared = true;
  static const char* server() { return ::getenv("HAECHI_TEST_POSTGRES"); }
  static bool available() { return server() != nullptr; }

  OnPostgres() : name_(fmt::format("haechi_test_{}_{}", ::getpid(), ++made_)) {
    ask_server(server(), fmt::format("CREATE DATABASE {} TEMPLATE template0", name_));
    PQconninfoOption* all = PQconninfoParse(server(), nullptr);
    REQUIRE(all != nullptr);
    for (auto* o = all; o->keyword; ++o) {
      const std::string_view key = o->keyword;
      if (!o->val) continue;
      if (key == "host") host_ = o->val;
      if (key == "port") port_ = o->val;
      if (key == "user") user_ = o->val;
      if (key == "password") password_ = o->val;
    }
    PQconninfoFree(all);
  }
  ~OnPostgres() {
    const std::unique_ptr<PGconn, decltype(&PQfinish)> c(PQconnectdb(server()), &PQfinish);
    PQclear(PQexec(c.get(), fmt::format("DROP DATABASE {} WITH (FORCE)", name_).c_str()));
  }
  OnPostgres(const OnPostgres&) = delete;
  OnPostgres& operator=(const OnPostgres&) = delete;

  PostgresOptions options() const {
    return {.hosts = {host_ + ":" + port_}, .database = name_, .user = user_, .password = password_};
  }
  std::unique_ptr<Database> open() const {
    auto opened = open_postgres(options());
    REQUIRE(opened);
    return *std::move(opened);
  }
  /// In this database, as somebody else.
  std::string ask(const std::string& sql) const {
    return ask_server(fmt::format("{} dbname={}", server(), name_), sql);
  }

 private:
  static inline int made_ = 0;
  std::string name_, host_ = "127.0.0.1", port_ = "5432", user_, password_;
};

}  // namespace haechi::store::test

/// A test case that runs on each engine; `Engine` is OnSqlite or OnPostgres.
#define TEST_ON_ENGINES(name) \
  TEST_CASE_TEMPLATE(name, Engine, haechi::store::test::OnSqlite, haechi::store::test::OnPostgres)
