#include "store/store.hpp"

namespace haechi::store {

Result<std::unique_ptr<Database>> open_postgres(PostgresOptions) {
  return fail(Errc::Unavailable, "this build has no PostgreSQL engine");
}

}  // namespace haechi::store
