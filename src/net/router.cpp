#include "net/router.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "base/text.hpp"

namespace haechi::net {
namespace {

constexpr std::size_t kMethods = 8;
constexpr std::size_t kParamsMax = 12;

/// The undecoded path parameters of one look-up; on the stack, so that a look-up allocates nothing.
struct RawParams {
  std::array<std::string_view, kParamsMax> values;
  std::size_t count = 0;
};

using Handlers = std::array<Router::Route*, kMethods>;

/// Cuts the next segment off `rest`; false when nothing is left after the last slash.
bool next_segment(std::string_view& rest, std::string_view& segment, bool& last) {
  const auto slash = rest.find('/');
  last = slash == std::string_view::npos;
  segment = rest.substr(0, slash);
  rest = last ? std::string_view{} : rest.substr(slash + 1);
  return true;
}

}  // namespace

/// One path segment. A node may stand in for another (`twin`), whose children are
/// then reachable below both: that is all an alias is.
struct Router::Node {
  std::vector<std::pair<std::string, std::unique_ptr<Node>>> literals;  // sorted
  std::unique_ptr<Node> param;
  Node* twin = nullptr;
  Handlers handlers{};
  Handlers rest{};  // `{name...}`

  Node* literal(std::string_view text) const {
    const auto at = std::lower_bound(literals.begin(), literals.end(), text,
                                     [](const auto& entry, std::string_view t) { return entry.first < t; });
    return at != literals.end() && at->first == text ? at->second.get() : nullptr;
  }
  Node& make_literal(std::string_view text) {
    const auto at = std::lower_bound(literals.begin(), literals.end(), text,
                                     [](const auto& entry, std::string_view t) { return entry.first < t; });
    if (at != literals.end() && at->first == text) return *at->second;
    return *literals.emplace(at, std::string(text), std::make_unique<Node>())->second;
  }
  Node& make_below(std::string_view prefix) {
    Node* node = this;
    std::string_view tail = prefix.substr(1), segment;
    for (bool last = false; !last;) {
      next_segment(tail, segment, last);
      node = &node->make_literal(segment);
    }
    return *node;
  }
};

namespace {

/// Walks the trie; literals before parameters, with a step back where a literal
/// led nowhere. Methods of paths that fit but have no handler gather in `allowed`.
template <class Node>
struct Search {
  std::size_t method;
  RawParams params;
  unsigned allowed = 0;
  int twins = 0;

  Router::Route* pick(const Handlers& handlers) {
    if (auto* route = handlers[method]) return route;
    constexpr auto kHead = static_cast<std::size_t>(Method::Head);
    constexpr auto kGet = static_cast<std::size_t>(Method::Get);
    if (method == kHead && handlers[kGet]) return handlers[kGet];
    for (std::size_t m = 0; m < kMethods; ++m) {
      if (handlers[m]) allowed |= 1U << m;
    }
    return nullptr;
  }

  /// `rest` is what follows the slash after `node`.
  Router::Route* below(const Node& node, std::string_view rest) {
    std::string_view tail = rest, segment;
    bool last = false;
    next_segment(tail, segment, last);
    if (const Node* child = node.literal(segment)) {
      if (auto* route = at(*child, tail, last)) return route;
    }
    // An empty segment is no parameter: "/state/{type}/" is a pattern of its own.
    if (node.param && !segment.empty() && params.count < kParamsMax) {
      params.values[params.count++] = segment;
      if (auto* route = at(*node.param, tail, last)) return route;
      --params.count;
    }
    if (params.count < kParamsMax) {
      if (auto* route = pick(node.rest)) {
        params.values[params.count++] = rest;
        return route;
      }
    }
    // Aliases of aliases end somewhere even when somebody ties them in a circle.
    if (node.twin && twins < 4) {
      ++twins;
      auto* route = below(*node.twin, rest);
      --twins;
      return route;
    }
    return nullptr;
  }

  Router::Route* at(const Node& node, std::string_view tail, bool last) {
    if (!last) return below(node, tail);
    if (auto* route = pick(node.handlers)) return route;
    return node.twin ? pick(node.twin->handlers) : nullptr;
  }
};

std::string method_list(unsigned mask) {
  std::string out;
  const auto append = [&](std::string_view name) { out += (out.empty() ? "" : ", ") + std::string(name); };
  for (std::size_t m = 0; m < kMethods; ++m) {
    if (!(mask & (1U << m))) continue;
    append(to_string(static_cast<Method>(m)));
    if (static_cast<Method>(m) == Method::Get && !(mask & (1U << static_cast<unsigned>(Method::Head)))) append("HEAD");
  }
  return out;
}

}  // namespace

Router::Router() : root_(std::make_unique<Node>()) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;

void Router::add(Method method, std::string pattern, Handler handler, RouteOptions options) {
  if (!pattern.starts_with('/')) throw std::invalid_argument("a route begins with a slash: " + pattern);
  routes_.push_back(std::make_unique<Route>(Route{method, std::move(pattern), std::move(handler), options}));
  Route* route = routes_.back().get();

  Node* node = root_.get();
  std::string_view tail = std::string_view(route->pattern).substr(1), segment;
  std::size_t params = 0;
  bool takes_rest = false;
  for (bool last = false; !last;) {
    next_segment(tail, segment, last);
    const bool is_param = segment.starts_with('{') && segment.ends_with('}');
    if (is_param && ++params > kParamsMax) throw std::invalid_argument("too many parameters: " + route->pattern);
    if (is_param && segment.ends_with("...}")) {
      if (!last) throw std::invalid_argument("{name...} stands last: " + route->pattern);
      takes_rest = true;
    } else if (is_param) {
      if (!node->param) node->param = std::make_unique<Node>();
      node = node->param.get();
    } else {
      node = &node->make_literal(segment);
    }
  }
  Route*& place = (takes_rest ? node->rest : node->handlers)[static_cast<std::size_t>(method)];
  if (place) throw std::invalid_argument("added twice: " + std::string(to_string(method)) + " " + route->pattern);
  place = route;
}

void Router::alias(std::string prefix, std::string target_prefix) {
  if (!prefix.starts_with('/') || !target_prefix.starts_with('/'))
    throw std::invalid_argument("an alias begins with a slash");
  root_->make_below(prefix).twin = &root_->make_below(target_prefix);
}

Router::Match Router::match(Method method, std::string_view raw_path) const {
  Match out;
  if (!raw_path.starts_with('/')) return out;
  Search<Node> search{.method = static_cast<std::size_t>(method), .params = {}};
  const Route* route = search.below(*root_, raw_path.substr(1));
  if (!route) {
    out.path_known = search.allowed != 0;
    if (out.path_known) out.allow = method_list(search.allowed);
    return out;
  }
  out.params.reserve(search.params.count);
  for (std::size_t i = 0; i < search.params.count; ++i) {
    const std::string_view raw = search.params.values[i];
    if (raw.find('%') == std::string_view::npos) {
      if (!is_valid_utf8(raw)) return {};
      out.params.emplace_back(raw);
      continue;
    }
    // A segment that does not decode names nothing that could exist; nor does one with a zero
    // byte, which not every store can hold.
    auto text = percent_decode(raw);
    if (!text || !is_valid_utf8(*text) || text->find('\0') != text->npos) return {};
    out.params.push_back(*std::move(text));
  }
  out.route = route;
  out.path_known = true;
  return out;
}

void Router::render_errors(std::string prefix, ErrorRenderer renderer) {
  renderers_.insert_or_assign(std::move(prefix), std::move(renderer));
}

Response Router::render(std::string_view raw_path, const Error& error) const {
  const ErrorRenderer* best = nullptr;
  std::size_t length = 0;
  for (const auto& [prefix, renderer] : renderers_) {
    if (raw_path.starts_with(prefix) && (!best || prefix.size() >= length)) {
      best = &renderer;
      length = prefix.size();
    }
  }
  return best ? (*best)(error) : render_problem(error);
}

std::vector<Router::Route*> Router::routes() {
  std::vector<Route*> out;
  for (const auto& route : routes_) out.push_back(route.get());
  return out;
}

}  // namespace haechi::net
