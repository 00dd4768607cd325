#include "messenger/accounts/hooks.hpp"

#include "messenger/account/account_data.hpp"
#include "messenger/keys/device_keys.hpp"
#include "messenger/profile/profiles.hpp"
#include "messenger/push/pushers.hpp"

namespace haechi::messenger {

std::vector<identity::Hooks> account_hooks() {
  std::vector<identity::Hooks> all;
  all.push_back(DeviceKeys::hooks());
  all.push_back(Profiles::hooks());
  all.push_back(AccountData::hooks());
  all.push_back(Pushers::hooks());
  return all;
}

}  // namespace haechi::messenger
