"""Ed25519 signatures of Matrix JSON (RFC 8032, section 6), for tests only: slow and not constant in time."""

import base64
import hashlib
import json

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE_Y = 4 * pow(5, P - 2, P) % P


def _recover_x(y):
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return P - x if x & 1 else x


BASE = (_recover_x(BASE_Y), BASE_Y, 1, _recover_x(BASE_Y) * BASE_Y % P)


def _add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(n, point):
    out = (0, 1, 1, 0)
    while n:
        if n & 1:
            out = _add(out, point)
        point, n = _add(point, point), n >> 1
    return out


def _encode(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _base64(data):
    return base64.b64encode(data).decode().rstrip("=")


class Key:
    """A key pair made from a name: the same name gives the same key."""

    def __init__(self, name: str):
        digest = hashlib.sha512(hashlib.sha256(name.encode()).digest()).digest()
        self._scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | 1 << 254
        self._prefix = digest[32:]
        self._public = _encode(_times(self._scalar, BASE))
        self.public = _base64(self._public)
        self.id = "ed25519:" + self.public

    def sign(self, obj: dict, user: str, key_id: str | None = None) -> dict:
        """A copy of `obj` with this key's signature among its signatures."""
        bare = {k: v for k, v in obj.items() if k not in ("signatures", "unsigned")}
        text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        r = int.from_bytes(hashlib.sha512(self._prefix + text).digest(), "little") % ORDER
        point = _encode(_times(r, BASE))
        h = int.from_bytes(hashlib.sha512(point + self._public + text).digest(), "little") % ORDER
        signature = _base64(point + ((r + h * self._scalar) % ORDER).to_bytes(32, "little"))
        signatures = {u: dict(s) for u, s in obj.get("signatures", {}).items()}
        signatures.setdefault(user, {})[key_id or self.id] = signature
        return {**obj, "signatures": signatures}
