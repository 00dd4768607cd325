#include "messenger/user/user_state.hpp"

namespace haechi::messenger {

UserState::Parked::Parked(UserState& user) : waiter(*user.loop_), user_(&user), next_(user.parked_) {
  if (next_) next_->prev_ = this;
  user.parked_ = this;
  ++user.parked_count_;
}

UserState::Parked::~Parked() {
  if (prev_) prev_->next_ = next_;
  else user_->parked_ = next_;
  if (next_) next_->prev_ = prev_;
  --user_->parked_count_;
}

void UserState::note(Position pos, std::int64_t room_num) {
  constexpr std::size_t kTouchesMax = 256;
  last_pos = std::max(last_pos, pos);
  // Followers take a batch one after the other, so a receipt may come after events behind it; and
  // a token of another node may stand between the two.
  auto at = touched.end();
  while (at != touched.begin() && (at - 1)->pos > pos) --at;
  touched.insert(at, {pos, room_num});
  if (touched.size() > kTouchesMax) {
    // Half goes at once, so that this costs nothing on average.
    const auto keep = touched.begin() + kTouchesMax / 2;
    touched_from = (keep - 1)->pos;
    touched.erase(touched.begin(), keep);
  }
}

void UserState::wake() {
  for (auto* p = parked_; p; p = p->next_) p->waiter.notify();
}

}  // namespace haechi::messenger
