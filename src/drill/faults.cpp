#include "drill/faults.hpp"

#include <fmt/format.h>

#include <array>

#include "base/random.hpp"

namespace haechi::drill {
namespace {

struct Named {
  Fault fault;
  std::string_view name;
};
constexpr Named kNames[] = {{Fault::None, "none"},         {Fault::Kill, "kill"},    {Fault::Freeze, "freeze"},
                            {Fault::Cut, "cut"},           {Fault::Slow, "slow"},    {Fault::Disk, "disk"},
                            {Fault::Evacuate, "evacuate"}, {Fault::Double, "double"}};
constexpr std::array<std::string_view, 3> kRoles = {"primary", "standby", "third"};

/// Longer than the time to live of Patroni's leader key: who comes back from that must not take it again.
constexpr double kLongerThanTtl = 24;

template <class Range>
auto& one_of(Random& random, Range& range) {
  return range[random.below(std::size(range))];
}

}  // namespace

std::string_view name_of(Fault fault) { return std::ranges::find(kNames, fault, &Named::fault)->name; }

std::string fault_names() {
  std::string out;
  for (const auto& n : kNames) out += std::string(out.empty() ? "" : ", ") + std::string(n.name);
  return out;
}

std::optional<Fault> fault_named(std::string_view name) {
  const auto* found = std::ranges::find(kNames, name, &Named::name);
  return found == std::end(kNames) ? std::nullopt : std::optional(found->fault);
}

bool possible(Fault fault, const Abilities& abilities) {
  if (fault == Fault::Cut || fault == Fault::Slow) return abilities.links;
  return fault != Fault::Disk || abilities.volumes;
}

std::string Strike::detail() const {
  const auto away = fmt::format("{:.0f} s", away_s);
  switch (fault) {
    case Fault::None: return "nothing happens for " + away;
    case Fault::Kill: return wipe ? away + ", it returns with empty disks" : away;
    case Fault::Cut:
      return away + (cut_from == CutFrom::Everybody ? ", from everybody"
                                                    : ", from the other sites; its clients still reach it");
    case Fault::Slow:
      return fmt::format("{}, {} ms each way and {:.0f} MB/s on its links", away, slow.delay / kMillisecond,
                         static_cast<double>(slow.bytes_per_second) / 1e6);
    case Fault::Double:
      return fmt::format("{}, and {:.1f} s after it began to return, the {} too", away, second_after_s, second_role);
    case Fault::Freeze:
    case Fault::Disk:
    case Fault::Evacuate: break;
  }
  return away;
}

Result<Strike> draw(std::uint64_t seed, const Wishes& wishes, const Abilities& abilities) {
  SeededRandom random(seed);
  Strike s{.seed = seed};
  // Everything is drawn, wished for or not: then a wish changes only what it names.
  std::vector<Fault> faults;
  for (const auto& n : kNames) {
    if (n.fault != Fault::None && possible(n.fault, abilities)) faults.push_back(n.fault);
  }
  s.fault = one_of(random, faults);
  s.role = one_of(random, kRoles);
  const bool from_everybody = random.below(2) == 0;
  const bool wipe = random.below(4) == 0;
  const bool longer = random.below(3) == 0;
  const auto seconds = static_cast<double>(8 + random.below(5));
  s.slow = {.delay = static_cast<Nanos>(20 + random.below(41)) * kMillisecond,
            .bytes_per_second = static_cast<std::int64_t>(2 + random.below(7)) * 1'000'000};
  const bool second_is_primary = random.below(2) == 0;
  s.second_after_s = 0.2 + static_cast<double>(random.below(30)) / 10;

  if (wishes.fault != "random") {
    const auto fault = fault_named(wishes.fault);
    if (!fault)
      return fail(Errc::Invalid,
                  fmt::format("there is no fault {}; there are {} and random", wishes.fault, fault_names()));
    if (!possible(*fault, abilities)) {
      return fail(Errc::Invalid,
                  fmt::format("{} needs {}", wishes.fault,
                              *fault == Fault::Disk ? "root, to mount a volume that can be full"
                                                    : "network namespaces, which this machine does not give us"));
    }
    s.fault = *fault;
  }
  if (wishes.site != "random") {
    if (std::ranges::find(kRoles, wishes.site) == kRoles.end()) {
      return fail(Errc::Invalid, "a site is primary, standby, third or random, not " + wishes.site);
    }
    s.role = wishes.site;
  }
  s.cut_from = from_everybody ? CutFrom::Everybody : CutFrom::OtherSites;
  s.wipe = s.fault == Fault::Kill && (wipe || wishes.wipe);
  const bool may_be_long = s.fault == Fault::Freeze || s.fault == Fault::Cut;
  s.away_s = wishes.away_s > 0 ? wishes.away_s : may_be_long && longer ? kLongerThanTtl : seconds;
  // Of the two that are left, one is the primary by the time that the first returns.
  s.second_role = second_is_primary ? "primary" : "standby";
  return s;
}

std::uint64_t seed_of_run(std::uint64_t seed, int number) {
  if (number <= 1) return seed;
  // SplitMix64: neighbouring seeds and neighbouring runs have nothing in common. Cut to a length that people can type.
  std::uint64_t z = seed + static_cast<std::uint64_t>(number - 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return ((z ^ (z >> 31)) >> 24) + 1;
}

}  // namespace haechi::drill
