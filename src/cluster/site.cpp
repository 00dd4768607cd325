#include "cluster/site.hpp"

#include <algorithm>

namespace haechi::cluster {

std::string host_port_of(std::string_view url) {
  std::string_view port = "80";
  if (const auto scheme = url.find("://"); scheme != std::string_view::npos) {
    if (url.starts_with("https")) port = "443";
    if (url.starts_with("postgres")) port = "5432";
    url.remove_prefix(scheme + 3);
  }
  url = url.substr(0, url.find('/'));
  if (const auto at = url.rfind('@'); at != std::string_view::npos) url.remove_prefix(at + 1);
  const auto colon = url.rfind(':');
  const bool has_port = colon != std::string_view::npos && url.find(']', colon) == std::string_view::npos;
  return std::string(url) + (has_port ? "" : ":" + std::string(port));
}

const Site* find_site(std::span<const Site> sites, std::string_view name) {
  const auto at = std::ranges::find(sites, name, &Site::name);
  return at == sites.end() ? nullptr : &*at;
}

std::string_view name_of(SiteState state) {
  switch (state) {
    case SiteState::InService: return "in service";
    case SiteState::Evacuating: return "evacuating";
    case SiteState::Evacuated: return "evacuated";
  }
  return "in service";
}

SiteState site_state_of(std::string_view text) {
  if (text == "evacuating") return SiteState::Evacuating;
  if (text == "evacuated") return SiteState::Evacuated;
  return SiteState::InService;
}

}  // namespace haechi::cluster
