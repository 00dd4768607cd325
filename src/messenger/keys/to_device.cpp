#include "messenger/keys/to_device.hpp"

#include <algorithm>
#include <map>

#include "base/log.hpp"
#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/keys/repo.hpp"
#include "messenger/kinds.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kEventBytesMax = 65'536;  // as for events of rooms
constexpr std::size_t kTargetsMax = 10'000;
constexpr std::size_t kTypeBytesMax = 255;
constexpr std::size_t kWaitingMax = 100'000;

/// What goes to one user: device id or "*" -> the whole event.
struct Parcel {
  std::string user;
  std::map<std::string, std::string, std::less<>> events;
};

Result<std::vector<Parcel>> parcels_of(const ToDeviceSend& send) {
  std::vector<Parcel> out;
  std::size_t targets = 0;
  std::string head = "{\"type\":";
  append_json_string(head, send.type);
  head += ",\"sender\":";
  append_json_string(head, send.user_id);
  head += ",\"content\":";
  for (const auto& [user, devices] : send.messages) {
    if (!devices.is_object()) return fail(Errc::BadJson, "messages must map users to devices to contents");
    Parcel parcel{.user = user, .events = {}};
    for (const auto& [device, content] : devices.get_object()) {
      if (!content.is_object()) return fail(Errc::BadJson, "The content of a message must be an object");
      if (++targets > kTargetsMax) return fail(Errc::TooLarge, "There are too many recipients");
      auto event = head + to_text(content) + '}';
      if (event.size() > kEventBytesMax) return fail(Errc::TooLarge, "A message is too large");
      parcel.events.emplace(device, std::move(event));
    }
    out.push_back(std::move(parcel));
  }
  return out;
}

void deliver(journal::Tx& tx, std::string_view user, std::string_view device, std::string_view event) {
  std::string data = "{\"device\":";
  append_json_string(data, device);
  data += '}';
  const auto pos = tx.append(kind::kToDevice, user, data);
  repo::add_to_device(tx.sql(), user, device, pos, event);
}

}  // namespace

ToDevice::ToDevice(store::Readers& readers, journal::Journal& journal) : readers_(readers), journal_(journal) {}

Task<Result<>> ToDevice::send(ToDeviceSend send) {
  if (send.type.size() > kTypeBytesMax) co_return fail(Errc::TooLarge, "The event type is too long");
  CO_TRY(auto parcels, parcels_of(send));
  CO_TRY(auto claim,
         co_await journal_.claim(
             {.scope = send.user_id + '|' + send.device_id + "|/sendToDevice/" + send.type, .key = send.txn_id}));
  if (claim.answer()) co_return Result<>{};
  auto apply = [parcels = std::move(parcels)](journal::Tx& tx) -> Result<std::string> {
    for (const auto& parcel : parcels) {
      const auto all = parcel.events.find("*");
      if (all != parcel.events.end()) {
        // A device named beside "*" gets what is meant for it alone.
        for (const auto& device : repo::devices_of(tx.sql(), parcel.user)) {
          const auto own = parcel.events.find(device);
          deliver(tx, parcel.user, device, own == parcel.events.end() ? all->second : own->second);
        }
        continue;
      }
      for (const auto& [device, event] : parcel.events) {
        if (repo::device_exists(tx.sql(), parcel.user, device)) deliver(tx, parcel.user, device, event);
      }
    }
    return std::string("{}");
  };
  CO_TRY_DO(co_await journal_.submit(claim, std::move(apply), journal::Guard::Bare));
  co_return Result<>{};
}

Task<Result<ToDevicePage>> ToDevice::read(UserPtr user, std::string device, Position after, Position upto,
                                          std::size_t limit) {
  ToDevicePage page{.events = {}, .upto = upto};
  const auto newest = user->to_device_pos.find(device);
  if (newest == user->to_device_pos.end() || newest->second <= after || limit == 0) co_return page;
  // One more than asked for tells whether the page is the last.
  const auto wanted = static_cast<std::int64_t>(limit) + 1;
  using Rows = std::vector<std::pair<Position, std::string>>;
  CO_TRY(auto rows, co_await readers_.read([&](store::Connection& c) -> Result<Rows> {
    return repo::to_device(c, user->id, device, after, upto, wanted);
  }));
  if (rows.size() > limit) {
    rows.resize(limit);
    page.upto = rows.back().first;
  }
  page.events.reserve(rows.size());
  for (auto& [pos, event] : rows) page.events.push_back(std::move(event));
  co_return page;
}

void ToDevice::delivered(UserPtr user, std::string device, Position upto) {
  const auto newest = user->to_device_pos.find(device);
  if (newest == user->to_device_pos.end() || stopping_ || upto <= 0) return;
  auto key = user->id + '|' + device;
  if (newest->second > upto) {
    const auto it = trimmed_.find(key);
    if (it != trimmed_.end() && it->second >= upto) return;
  }
  if (waiting_.size() >= kWaitingMax) return;  // found again at the next sync
  auto& deletion = waiting_[std::move(key)];
  if (deletion.upto < upto) deletion = {.user = std::move(user), .device = std::move(device), .upto = upto};
  if (!deleting_) scope_.spawn(delete_waiting());
}

Task<void> ToDevice::delete_waiting() {
  deleting_ = true;
  while (!waiting_.empty() && !stopping_) {
    const auto batch = std::exchange(waiting_, {});
    // UserState belongs to the loop: the commit thread gets texts only.
    struct Item {
      std::string user, device;
      Position upto;
    };
    std::vector<Item> items;
    items.reserve(batch.size());
    for (const auto& [key, d] : batch) items.push_back({d.user->id, d.device, d.upto});
    auto apply = [items = std::move(items)](journal::Tx& tx) -> Result<> {
      for (const auto& item : items) repo::delete_to_device(tx.sql(), item.user, item.device, item.upto);
      return {};
    };
    const auto done = co_await journal_.submit(std::move(apply), journal::Guard::Bare);
    if (!done) {
      log::warn("delivered to-device messages were not deleted", {{"what", done.error().message}});
      continue;
    }
    if (trimmed_.size() > kWaitingMax) trimmed_.clear();  // costs a needless deletion each, no more
    for (const auto& [key, d] : batch) {
      const auto it = d.user->to_device_pos.find(d.device);
      if (it != d.user->to_device_pos.end() && it->second <= d.upto) {
        d.user->to_device_pos.erase(it);
        trimmed_.erase(key);
      } else {
        trimmed_[key] = d.upto;
      }
    }
  }
  deleting_ = false;
}

Task<void> ToDevice::stop() {
  stopping_ = true;
  waiting_.clear();
  co_await scope_.join();
}

}  // namespace haechi::messenger
