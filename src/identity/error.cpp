#include "identity/error.hpp"

namespace haechi::identity {
namespace {

class Category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "identity"; }
  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::Ok: return "ok";
      case Errc::UserInUse: return "the name is taken";
      case Errc::InvalidUsername: return "not a valid name";
      case Errc::Exclusive: return "the name is reserved for an application service";
      case Errc::WeakPassword: return "the password is not acceptable";
      case Errc::WrongCredentials: return "wrong name or password";
      case Errc::MissingToken: return "an access token is needed";
      case Errc::UnknownToken: return "the access token is not known";
      case Errc::Deactivated: return "the account is deactivated";
      case Errc::Locked: return "the account is locked";
      case Errc::Suspended: return "the account is suspended";
      case Errc::LimitExceeded: return "too many requests";
      case Errc::NotFound: return "not found";
      case Errc::GuestsForbidden: return "guests may not do this";
      case Errc::Forbidden: return "not allowed";
      case Errc::InvalidParam: return "a parameter is not valid";
    }
    return "unknown error";
  }
};

}  // namespace

const std::error_category& identity_category() noexcept {
  static const Category category;
  return category;
}

}  // namespace haechi::identity
