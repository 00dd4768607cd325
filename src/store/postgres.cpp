#include "store/postgres_connection.hpp"
#include "store/store.hpp"

namespace haechi::store {
namespace {

class PostgresDatabase final : public Database {
 public:
  explicit PostgresDatabase(std::shared_ptr<Finder> finder) : finder_(std::move(finder)) {}

  std::unique_ptr<Connection> connect(Access access) override {
    return std::make_unique<PostgresConnection>(finder_->find(access), finder_, access);
  }
  std::string_view engine() const override { return "postgresql"; }
  bool shared() const override { return true; }

 private:
  const std::shared_ptr<Finder> finder_;  ///< shared with the connections
};

}  // namespace

Result<std::unique_ptr<Database>> open_postgres(PostgresOptions options) {
  TRY(auto finder, Finder::create(std::move(options)));
  return std::make_unique<PostgresDatabase>(std::move(finder));
}

}  // namespace haechi::store
