#pragma once
#include "blob/keeper.hpp"
#include "blob/sessions.hpp"

namespace haechi::blob {

/// Keeps contents as rows of 256 KiB. A commit holds 1 MiB, so that the journal's commits,
/// which stand behind it in the stream to the other sites, wait for no more than that.
class DatabaseKeeper final : public Keeper {
 public:
  /// `sessions` must outlive it. The tables are in Media::migrations().
  explicit DatabaseKeeper(Sessions& sessions) : sessions_(sessions) {}
  /// What the shared schema cannot say: on PostgreSQL, that media are not worth compressing.
  static Result<> prepare(store::Database& db);

  std::string_view kind() const override { return "database"; }
  Result<> write(const std::string& name, const Original& from, const Alive& alive) override;
  Result<> read(const std::string& name, std::uint64_t offset, std::uint64_t length, const Sink& sink) override;
  Result<> remove(const std::string& name) override;

 private:
  Sessions& sessions_;
};

}  // namespace haechi::blob
