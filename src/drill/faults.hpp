#pragma once
// What a drill can do to a site, and how a run is drawn from its seed.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "drill/process.hpp"
#include "drill/run.hpp"
#include "drill/wire.hpp"

namespace haechi::drill {

enum class Fault { None, Kill, Freeze, Cut, Slow, Disk, Evacuate, Double };

std::string_view name_of(Fault fault);
/// Every name, for help and messages.
std::string fault_names();
/// Nothing for an unknown name ("random" is none).
std::optional<Fault> fault_named(std::string_view name);

/// What the ground allows.
struct Abilities {
  bool links = false;    ///< cut and slow
  bool volumes = false;  ///< disk
};
bool possible(Fault fault, const Abilities& abilities);

/// A cut leaves the site's own clients with it, or takes them too.
enum class CutFrom { Everybody, OtherSites };

struct Strike {
  Fault fault = Fault::None;
  std::string role;   ///< primary, standby, third
  double away_s = 0;  ///< how long the site is gone
  bool wipe = false;  ///< kill: it comes back with empty disks
  CutFrom cut_from = CutFrom::Everybody;
  Wire::State slow;           ///< of every link of the site, each direction
  std::string second_role;    ///< double: who is lost while the first returns; "first standby" is the primary by then
  double second_after_s = 0;  ///< double: after the first began to return
  std::uint64_t seed = 0;

  std::string detail() const;
};

struct Wishes {
  std::string fault = "random";
  std::string site = "random";
  double away_s = 0;  ///< 0: drawn
  bool wipe = false;  ///< always, not only when drawn
};

/// The same seed, wishes and abilities give the same strike.
Result<Strike> draw(std::uint64_t seed, const Wishes& wishes, const Abilities& abilities);

/// The seed of run `number` (from 1); the first run has the drill's own, so that any run can be repeated alone.
std::uint64_t seed_of_run(std::uint64_t seed, int number);

}  // namespace haechi::drill
