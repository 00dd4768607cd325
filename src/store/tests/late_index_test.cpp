#include "store/late_index.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <map>
#include <random>

using namespace haechi;
using namespace haechi::store;

namespace {

struct Fixture {
  Fixture() {
    std::string name = (std::filesystem::temp_directory_path() / "haechi-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    dir = name;
    db = open_sqlite({.path = (dir / "db").string(), .cache_mib = 4}).value();
    REQUIRE(migrate(*db, LateIndex::migrations()));
    c = db->connect(Access::ReadWrite);
  }
  ~Fixture() {
    c.reset();
    db.reset();
    std::filesystem::remove_all(dir);
  }
  bool flush_one(LateIndex& index) {
    const auto slice = index.next_slice(512);
    if (!slice) return false;
    c->begin();
    index.write_slice(*c, slice);
    c->commit();
    index.slice_done(slice);
    return true;
  }
  std::vector<std::int64_t> find(const LateIndex& index, std::uint64_t key) {
    auto found = index.find_stored(*c, key, 0, index.indexed_upto() + 1, SIZE_MAX, LateIndex::Order::Ascending);
    const auto recent = index.find_recent(key);
    found.insert(found.end(), recent.begin(), recent.end());
    return found;
  }
  std::filesystem::path dir;
  std::unique_ptr<Database> db;
  std::unique_ptr<Connection> c;
};

using Model = std::map<std::uint64_t, std::vector<std::int64_t>>;

}  // namespace

TEST_CASE_FIXTURE(Fixture, "at any moment every entry is found once, also after a restart in mid-move") {
  std::mt19937_64 random(7);
  Model model;
  std::vector<std::pair<std::uint64_t, std::int64_t>> rows;
  auto index = std::make_unique<LateIndex>(5, 3000);
  LateIndex neighbour(6, 100);
  for (std::int64_t i = 0; i < 1000; ++i) neighbour.add(static_cast<std::uint64_t>(i), i);
  index->load(*c);
  const auto check = [&] {
    for (const auto& [key, positions] : model) {
      const auto found = find(*index, key);
      if (found != positions) FAIL("key " << key << ": " << found.size() << " for " << positions.size());
    }
  };
  std::int64_t pos = 0;
  for (int i = 0; i < 20'000; ++i) {
    // Few keys with many positions, many keys with one, and several entries at one position.
    const std::uint64_t key = i % 3 == 0 ? random() % 3 : random();
    if (i % 4 != 0) ++pos;
    index->add(key, pos);
    rows.emplace_back(key, pos);
    model[key].push_back(pos);
    if (i % 200 == 0) {
      flush_one(*index);
      if (i % 1000 == 0) flush_one(neighbour);
    }
    if (i % 5000 == 4321) {
      check();
      index = std::make_unique<LateIndex>(5, 2000 + static_cast<std::size_t>(i) % 700);
      index->load(*c);
      CHECK(index->indexed_upto() < pos);
      for (const auto& [k, p] : rows) {
        if (p > index->indexed_upto()) index->add(k, p);
      }
      check();
    }
  }
  while (flush_one(*index)) {
  }
  check();
  CHECK(index->memory_entries() <= 3000);
  CHECK(index->indexed_upto() > 10'000);
}

TEST_CASE_FIXTURE(Fixture, "stored positions come in order, within bounds and at most as many as asked") {
  LateIndex index(1, 4000);
  index.load(*c);
  for (std::int64_t pos = 1; pos <= 20'000; ++pos) {
    index.add(pos % 2 == 0 ? 1 : static_cast<std::uint64_t>(pos) << 20, pos);
    while (flush_one(index)) {
    }
  }
  const auto to = index.indexed_upto() + 1;
  REQUIRE(to > 15'000);
  struct Case {
    std::int64_t from, to;
    std::size_t limit;
    LateIndex::Order order;
  };
  const auto kUp = LateIndex::Order::Ascending;
  const auto kDown = LateIndex::Order::Descending;
  for (const auto& t : {Case{0, to, 10, kDown}, Case{0, to, 10, kUp}, Case{0, to, 100'000, kDown},
                        Case{0, to, 100'000, kUp}, Case{4001, 4003, 10, kDown}, Case{5000, 9000, 700, kUp},
                        Case{5000, 9000, 700, kDown}, Case{9000, 5000, 5, kUp}, Case{7000, 7001, 5, kDown}}) {
    std::vector<std::int64_t> expected;
    for (auto p = t.from; p < t.to; ++p)
      if (p > 0 && p % 2 == 0) expected.push_back(p);
    if (t.order == kDown) std::ranges::reverse(expected);
    if (expected.size() > t.limit) expected.resize(t.limit);
    CHECK(index.find_stored(*c, 1, t.from, t.to, t.limit, t.order) == expected);
  }
}

TEST_CASE_FIXTURE(Fixture, "the filter has no false negative and few false positives, over a restart too") {
  std::mt19937_64 random(11);
  std::vector<std::uint64_t> keys;
  {
    LateIndex index(1, 5000);
    index.load(*c);
    for (std::int64_t pos = 1; pos <= 20'001; ++pos) {
      keys.push_back(random());
      index.add(keys.back(), pos);
      while (flush_one(index)) {
      }
    }
    CHECK_FALSE(index.maybe_stored(keys.back()));
  }
  LateIndex index(1, 5000);
  index.load(*c);
  const auto stored = static_cast<std::size_t>(index.indexed_upto());
  CHECK(std::all_of(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(stored),
                    [&](auto k) { return index.maybe_stored(k); }));
  int false_alarms = 0;
  for (int i = 0; i < 100'000; ++i) false_alarms += index.maybe_stored(random());
  CHECK(false_alarms < 500);
}

TEST_CASE_FIXTURE(Fixture, "a segment that is too old is deleted whole") {
  LateIndex index(1, 1000, LateIndex::Filters::None);
  index.load(*c);
  for (std::int64_t pos = 1; pos <= 5000; ++pos) {
    index.add(static_cast<std::uint64_t>(pos), pos);
    while (flush_one(index)) {
    }
  }
  CHECK_FALSE(index.prunable(500));
  const auto segment = index.prunable(1500);
  REQUIRE(segment);
  index.prune(*c, *segment);
  index.pruned(*segment);
  CHECK(find(index, 900).empty());
  CHECK(find(index, 1500) == std::vector<std::int64_t>{1500});
  CHECK(index.maybe_stored(900));  // without filters the answer is always perhaps
  CHECK_FALSE(index.prunable(1500));
}
