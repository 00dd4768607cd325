#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "blob/keeper.hpp"

namespace haechi::blob {

struct S3Options {
  std::string endpoint;  ///< "https://s3.example.org"; buckets are asked for by path
  std::string region;
  std::string bucket;
  std::string access_key;
  std::string secret_key;
  std::string prefix = "media/";
  std::string extra_ca_file;                 ///< trusted beside the system's authorities
  std::size_t part_bytes = 8 * 1024 * 1024;  ///< larger contents go up in parts of that size; S3 asks for 5 MiB
  Duration connect_max = std::chrono::seconds(3);
  Duration silence_max = std::chrono::seconds(10);  ///< without a byte either way
  /// A request that fails in passing (no connection, 5xx, 429) is repeated until then.
  Duration patience = std::chrono::seconds(20);
  Duration first_pause = std::chrono::milliseconds(100);  ///< doubles with each repetition
};

/// Keeps contents as objects of an S3-compatible store. libcurl signs (AWS Signature Version 4);
/// every body is named by its checksum in the signature, so that one that was damaged on the
/// way is refused there. Whether the objects survive a site is the store's promise.
class S3Keeper final : public Keeper {
 public:
  explicit S3Keeper(S3Options options);
  ~S3Keeper() override;

  std::string_view kind() const override { return "s3"; }
  Result<> write(const std::string& name, const Original& from, const Alive& alive) override;
  Result<> read(const std::string& name, std::uint64_t offset, std::uint64_t length, const Sink& sink) override;
  Result<> remove(const std::string& name) override;

 private:
  struct Call;
  struct Reply;
  class Handle;

  Result<Reply> call(const Call& call);
  Result<Reply> once(const Call& call);
  Result<> write_parts(const std::string& key, const Original& from, const Alive& alive);
  Result<> abort_uploads(const std::string& key);
  std::string key_of(const std::string& name) const;

  const S3Options options_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Handle>> free_;  ///< with their connections
};

}  // namespace haechi::blob
