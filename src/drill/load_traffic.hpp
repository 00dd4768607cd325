#pragma once
// The kinds of clients, and what each does over and over while a drill runs. All on the load's loop.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/text.hpp"
#include "drill/client.hpp"

namespace haechi::drill {

enum class Role : std::uint8_t {
  Sender,    ///< messages into rooms that it shares with senders of other sites
  Receiver,  ///< a /sync that waits, its token carried from node to node
  Uploader,  ///< media, read back through another site
  Writer,    ///< account data, read back through another site
  Chatter,   ///< receipts and typing
};
std::string_view name_of(Role role);

struct Person {
  Person(World& world, std::uint32_t index, Role r, std::uint32_t h, std::vector<std::uint32_t> order,
         std::vector<std::uint32_t> elsewhere_order)
      : role(r),
        home(h),
        main(world, index, std::move(order)),
        elsewhere(world, index, std::move(elsewhere_order)),
        due_changed(world.loop) {}

  const Role role;
  const std::uint32_t home;
  std::string user;
  std::string token;
  std::vector<std::uint32_t> rooms;  ///< where it is a member
  Roamer main;                       ///< for what the person does
  Roamer elsewhere;                  ///< for looking at it through another site
  std::deque<Nanos> due;             ///< open loop: times at which a message was to be sent
  Waiter due_changed;
  std::string since;          ///< sync token
  std::uint64_t version = 0;  ///< of its account data
  std::uint64_t sent = 0;
  bool first_acknowledged = false;
};

/// What they work on together.
struct Stage {
  explicit Stage(World& w) : world(w) {}

  World& world;
  std::string server_name;
  std::string run;                 ///< marks this load's messages in their bodies
  std::vector<std::string> rooms;  ///< ids
  std::unordered_map<std::string, std::uint32_t, StringHash, std::equal_to<>> room_index;
  std::vector<std::string> newest;  ///< by room: the last acknowledged event
  std::vector<std::unique_ptr<Person>> people;
  std::uint64_t seed = 0;

  std::uint64_t messages = 0;  ///< numbers given so far; they go on from run to run
  std::uint64_t media = 0;
  bool going = false;
  Scope traffic;
  std::function<void(Nanos at)> on_acknowledged;

  History& history() const { return *world.history; }
};

/// Each runs until `stage.going` is false and what it asked for last is answered.
Task<void> send_messages(Stage& stage, Person& person, bool paced);
Task<void> receive(Stage& stage, Person& person);
Task<void> upload(Stage& stage, Person& person);
Task<void> write(Stage& stage, Person& person);
Task<void> chat(Stage& stage, Person& person);
/// Gives senders their times, `rate` a second in all, in turns.
Task<void> pace(Stage& stage, double rate);

/// One sync. Nothing when it was not answered; otherwise how many messages it brought.
Task<std::optional<std::size_t>> sync_once(Stage& stage, Person& person, Duration wait, bool record);

/// Puts the reply into the history.
Operation& record(Stage& stage, const Person& person, Kind kind, const Reply& reply);
/// The media that an upload of this number has.
std::string media_of(std::uint64_t seed, std::uint64_t number);
/// The number in a body of ours, 0 in any other.
std::uint64_t number_in(const Stage& stage, std::string_view body);
/// The string member `key` of a small flat answer.
std::string_view find_member(std::string_view json, std::string_view key);

/// The requests that several need.
Asked ask_send(const Stage& stage, const Person& person, std::uint32_t room, std::uint64_t number, Kind kind);
Asked ask_version(const Person& person);
Asked ask_media(const Person& person, std::string_view link);
std::uint64_t version_in(std::string_view body);

}  // namespace haechi::drill
