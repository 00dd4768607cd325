#pragma once
// Cross-signing keys and the signatures that users make with them.
// https://spec.matrix.org/v1.19/client-server-api/#cross-signing

#include <map>
#include <optional>
#include <string>

#include "base/json.hpp"
#include "journal/journal.hpp"

namespace haechi::messenger {

/// Whether the user proved once more who they are.
enum class Reauthenticated { Yes, No };

/// Loop thread only.
class CrossSigning {
 public:
  explicit CrossSigning(journal::Journal& journal) : journal_(journal) {}

  enum class Upload { Done, NeedsAuth };
  /// POST /keys/device_signing/upload. The first master key and the same keys again
  /// need no second proof; whether one is needed is decided in the transaction that
  /// writes. Errc::BadJson, InvalidParam, MissingParam (no master key), InvalidSignature.
  Task<Result<Upload>> upload_keys(std::string user, json::object body, Reauthenticated reauthenticated);

  /// POST /keys/signatures/upload: the answer. What cannot be taken is among its failures.
  Task<Result<std::string>> upload_signatures(std::string user, json::object body);

 private:
  journal::Journal& journal_;
};

}  // namespace haechi::messenger
