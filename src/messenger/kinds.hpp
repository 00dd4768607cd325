#pragma once
// Change-feed kinds 300 to 499 belong to the messenger. Each names its subject
// and what `data` holds, so that another node can follow.

#include "journal/journal.hpp"

namespace haechi::messenger::kind {

using journal::Kind;

inline constexpr Kind kEvent = 300;     ///< stored in `events`; subject: room id
inline constexpr Kind kReceipt = 310;   ///< subject: room id; {user,type,thread,event_id,ts}
inline constexpr Kind kPresence = 311;  ///< subject: user id; what Presence says of them; where there are several nodes
inline constexpr Kind kAccountData = 320;  ///< subject: user id; {room,type}
inline constexpr Kind kPushRules = 321;    ///< subject: user id
inline constexpr Kind kProfile = 330;      ///< subject: user id
inline constexpr Kind kToDevice = 340;     ///< subject: user id; {device}
inline constexpr Kind kDeviceKeys =
    350;  ///< subject: user id; {rooms}: device list changed; numbers of the rooms joined
inline constexpr Kind kOneTimeKeys = 351;  ///< subject: user id; {device}: counts changed
inline constexpr Kind kKeyBackup = 352;    ///< subject: user id
inline constexpr Kind kUserSignatures =
    353;  ///< subject: user id; {target}: signed another user's key, told to the signer alone
inline constexpr Kind kDirectory = 360;  ///< subject: alias or room id
inline constexpr Kind kPusher = 370;     ///< subject: user id
inline constexpr Kind kForget = 380;     ///< subject: user id; {room}
inline constexpr Kind kReport = 390;     ///< subject: room or user id

}  // namespace haechi::messenger::kind
