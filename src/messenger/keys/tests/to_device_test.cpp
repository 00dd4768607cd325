#include "messenger/errc.hpp"
#include "messenger/keys/tests/fixture.hpp"

namespace haechi::messenger::test {
namespace {

void send(Node& node, const std::string& txn, json::object messages) {
  node.run(node.to_device->send(
      {.user_id = kAlice, .device_id = "A", .type = "t", .txn_id = txn, .messages = std::move(messages)}));
}
json::object to(const std::string& user, const std::string& device, std::int64_t n) {
  return {{user, json::object{{device, json::object{{"n", n}}}}}};
}
std::vector<std::int64_t> numbers(const ToDevicePage& page) {
  std::vector<std::int64_t> out;
  for (const auto& e : page.events) out.push_back(*get_int(*get_object(obj(e), "content"), "n"));
  return out;
}
ToDevicePage read(Node& node, const std::string& device, Position after, std::size_t limit = 100) {
  return node.run(node.to_device->read(node.user(kBob), device, after, node.now(), limit));
}
std::int64_t stored(Node& node) {
  static constexpr store::Sql kCount{"SELECT COUNT(*) FROM to_device"};
  return node.run(
      node.readers->read([](store::Connection& c) -> Result<std::int64_t> { return c.one_i64(kCount).value_or(0); }));
}

}  // namespace

TEST_CASE("messages to devices come in order and in pages and stay until the next token") {
  Node node;
  node.add_device(kBob, "B");
  const auto bob = node.user(kBob);
  for (int n = 0; n < 5; ++n) send(node, std::to_string(n), to(kBob, "B", n));

  const auto first = read(node, "B", 0, 2);
  CHECK(numbers(first) == std::vector<std::int64_t>{0, 1});
  CHECK(numbers(read(node, "B", 0, 2)) == std::vector<std::int64_t>{0, 1});
  node.to_device->delivered(bob, "B", first.upto);
  node.loop.run_ready();
  CHECK(stored(node) == 3);
  const auto second = read(node, "B", first.upto, 3);
  CHECK(numbers(second) == std::vector<std::int64_t>{2, 3, 4});
  CHECK(second.upto == node.now());
  CHECK(bob->to_device_pos.contains("B"));
  node.to_device->delivered(bob, "B", second.upto);
  node.loop.run_ready();
  CHECK(stored(node) == 0);
  CHECK_FALSE(bob->to_device_pos.contains("B"));
}

TEST_CASE("a transaction id has one effect") {
  Node node;
  node.add_device(kBob, "B");
  node.user(kBob);
  send(node, "same", to(kBob, "B", 1));
  send(node, "same", to(kBob, "B", 2));
  CHECK(numbers(read(node, "B", 0)) == std::vector<std::int64_t>{1});
}

TEST_CASE("a star reaches all devices, and nobody else's") {
  Node node;
  node.add_device(kBob, "B");
  node.add_device(kBob, "B2");
  node.user(kBob);
  send(node, "1", to(kBob, "*", 1));
  send(node, "2", to("@nobody:hs", "*", 1));
  send(node, "3", to(kBob, "NONE", 1));
  CHECK(numbers(read(node, "B", 0)) == std::vector<std::int64_t>{1});
  CHECK(numbers(read(node, "B2", 0)) == std::vector<std::int64_t>{1});
  CHECK(stored(node) == 2);
}

TEST_CASE("a message that comes while its recipient is read into memory is not overlooked") {
  Node node;
  node.add_device(kBob, "B");
  const auto get = [](Node& n) -> Task<void> { must(co_await n.users->get(kBob)); };
  Scope scope;
  scope.spawn(get(node));
  send(node, "1", to(kBob, "B", 1));
  node.loop.run(scope.join());
  CHECK(numbers(read(node, "B", 0)) == std::vector<std::int64_t>{1});
}

TEST_CASE("what is no message is refused whole") {
  Node node;
  node.add_device(kBob, "B");
  const json::object rows[] = {{{kBob, 5}}, {{kBob, json::object{{"B", "text"}}}}};
  for (const auto& messages : rows) {
    CHECK(node.error_of(node.to_device->send(
                            {.user_id = kAlice, .device_id = "A", .type = "t", .txn_id = "x", .messages = messages}))
              .is(Errc::BadJson));
  }
  CHECK(node.error_of(node.to_device->send(
                          {.user_id = kAlice,
                           .device_id = "A",
                           .type = "t",
                           .txn_id = "x",
                           .messages = {{kBob, json::object{{"B", json::object{{"n", std::string(70'000, 'x')}}}}}}}))
            .is(Errc::TooLarge));
  CHECK(stored(node) == 0);
}

}  // namespace haechi::messenger::test
