#pragma once
#include <map>
#include <string>

#include "messenger/event/auth.hpp"

namespace haechi::messenger {

class FakeState final : public StateView {
 public:
  void set(std::string_view type, std::string_view state_key, json::object content, std::string_view sender) {
    state_[name(type, state_key)] = {std::move(content), std::string(sender)};
  }
  void member(std::string_view user, std::string_view membership) {
    set("m.room.member", user, {{"membership", membership}}, user);
  }
  /// {"type|state_key": content}; null takes the event away. Senders stay, new ones are alice.
  void patch(std::string_view text) {
    for (const auto& [key, value] : must_parse_object(text)) {
      if (!value.is_object()) {
        state_.erase(std::string(key));
        continue;
      }
      auto& entry = state_[std::string(key)];
      entry.content = value.get_object();
      if (entry.sender.empty()) entry.sender = "@alice:h";
    }
  }

  const json::object* content(std::string_view type, std::string_view state_key) const override {
    const auto it = state_.find(name(type, state_key));
    return it == state_.end() ? nullptr : &it->second.content;
  }
  std::string_view sender(std::string_view type, std::string_view state_key) const override {
    const auto it = state_.find(name(type, state_key));
    return it == state_.end() ? std::string_view{} : it->second.sender;
  }
  std::string_view create_event_id() const override { return "$create"; }

 private:
  struct Entry {
    json::object content;
    std::string sender;
  };
  static std::string name(std::string_view type, std::string_view state_key) {
    return std::string(type) + "|" + std::string(state_key);
  }
  std::map<std::string, Entry> state_;
};

}  // namespace haechi::messenger
