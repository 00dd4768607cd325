"""Media: upload, download, thumbnails, ranges, async upload, previews."""

import json
import struct
import zlib

from harness import PNG_1X1, Later, LocalSite, check, ok, quote, refused, same, unique

SMOKE = ["test_upload_and_download", "test_thumbnails"]
V1 = "/_matrix/client/v1/media/"


def png(width, height, colour=(200, 60, 30)) -> bytes:
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + bytes(colour) * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + \
        chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def upload(user, data, kind="application/octet-stream", name=None, path="/_matrix/media/v3/upload"):
    r = ok(user.call("POST", path, data, {"filename": name} if name else None, {"Content-Type": kind}))
    check(r["content_uri"].startswith("mxc://localhost/"))
    return r["content_uri"][len("mxc://"):]


def test_upload_and_download(server):
    u, v = server.users(2)
    data = bytes(range(256)) * 40
    where = upload(u, data, "text/plain", "한국 notes.txt")
    r = v.call("GET", f"{V1}download/{where}")
    same((r.status, r.body), (200, data))
    same(r.headers["content-type"].split(";")[0], "text/plain")
    disposition = r.headers["content-disposition"]
    check(disposition.startswith("inline"), disposition)
    check("filename*=utf-8''" in disposition or "filename*=UTF-8''" in disposition, disposition)
    check("sandbox" in r.headers["content-security-policy"])
    same(r.headers.get("cross-origin-resource-policy"), "cross-origin")
    r = v.call("GET", f"{V1}download/{where}/other.txt")
    check('other.txt' in r.headers["content-disposition"])
    refused(server.call("GET", f"{V1}download/{where}"), 401, "M_MISSING_TOKEN")
    refused(v.call("GET", f"{V1}download/localhost/nothing"), 404, "M_NOT_FOUND")
    refused(v.call("GET", f"{V1}download/elsewhere.example/x"), 404, "M_NOT_FOUND")


def test_dangerous_types_are_attachments(server):
    u = server.register()
    for kind in ("text/html", "image/svg+xml", "application/octet-stream", "application/javascript"):
        r = u.call("GET", f"{V1}download/{upload(u, b'<script>', kind)}")
        check(r.headers["content-disposition"].startswith("attachment"), kind)
        check("sandbox" in r.headers["content-security-policy"])
        same(r.headers.get("x-content-type-options", "nosniff"), "nosniff")


def test_old_paths(server):
    u = server.register()
    where = upload(u, b"abc", "text/plain", path="/_matrix/media/r0/upload")
    for version in ("r0", "v3", "v1"):
        same(server.call("GET", f"/_matrix/media/{version}/download/{where}").body, b"abc", f"media {version}")
        same(server.call("GET", f"/_matrix/media/{version}/download/{where}/n.txt").body, b"abc")
    same(ok(u.call("GET", "/_matrix/media/r0/config")), ok(u.call("GET", f"{V1}config")))


def test_ranges(server):
    u = server.register()
    data = bytes(n % 251 for n in range(100_000))
    where = upload(u, data, "video/mp4")
    path = f"{V1}download/{where}"
    same(u.call("GET", path).headers.get("accept-ranges"), "bytes")
    for spec, part in (("bytes=0-99", data[:100]), ("bytes=500-", data[500:]), ("bytes=-10", data[-10:]), ("bytes=99990-200000", data[99990:])):
        r = u.call("GET", path, headers={"Range": spec})
        same((r.status, r.body), (206, part), spec)
        check(r.headers["content-range"].endswith("/100000"), r.headers["content-range"])
    r = u.call("GET", path, headers={"Range": "bytes=100000-"})
    same(r.status, 416)
    same(r.headers.get("content-range"), "bytes */100000")
    for odd in ("bytes=5-2", "nonsense", "lines=1-2"):
        check(u.call("GET", path, headers={"Range": odd}).status in (200, 416), odd)


def test_thumbnails(server):
    u = server.register()
    where = upload(u, png(800, 400), "image/png")
    r = u.call("GET", f"{V1}thumbnail/{where}", query={"width": 320, "height": 240, "method": "scale"})
    same(r.status, 200)
    check(r.headers["content-type"] in ("image/png", "image/jpeg", "image/webp"), r.headers["content-type"])
    check(len(r.body) > 50 and r.headers["content-disposition"].startswith("inline"))
    r = u.call("GET", f"{V1}thumbnail/{where}", query={"width": 96, "height": 96, "method": "crop"})
    if r.headers["content-type"] == "image/png":
        same(struct.unpack(">II", r.body[16:24]), (96, 96))
    same(server.call("GET", f"/_matrix/media/v3/thumbnail/{where}", query={"width": 32, "height": 32}).status, 200)
    refused(u.call("GET", f"{V1}thumbnail/{where}", query={"height": 5}), 400)
    refused(u.call("GET", f"{V1}thumbnail/{where}", query={"width": "x", "height": 5}), 400)
    refused(u.call("GET", f"{V1}thumbnail/{where}", query={"width": 0, "height": 5}), 400)
    refused(u.call("GET", f"{V1}thumbnail/{where}", query={"width": 5, "height": 5, "method": "stretch"}), 400)
    refused(u.call("GET", f"{V1}thumbnail/localhost/none", query={"width": 5, "height": 5}), 404)


def test_what_is_no_picture_has_no_thumbnail(server):
    u = server.register()
    for data, kind in ((b"just text", "text/plain"), (b"\x89PNG\r\n\x1a\nbroken", "image/png"), (b"", "image/png")):
        where = upload(u, data, kind)
        refused(u.call("GET", f"{V1}thumbnail/{where}", query={"width": 32, "height": 32}), (400, 404, 413))
    ok(u.call("GET", "account/whoami"))


def test_a_small_picture_and_a_bomb(server):
    u = server.register()
    same(u.call("GET", f"{V1}thumbnail/{upload(u, PNG_1X1, 'image/png')}", query={"width": 32, "height": 32}).status, 200)
    bomb = png(1, 1).replace(struct.pack(">II", 1, 1), struct.pack(">II", 60000, 60000))
    r = u.call("GET", f"{V1}thumbnail/{upload(u, bomb, 'image/png')}", query={"width": 32, "height": 32})
    check(r.status in (400, 404, 413), f"{r!r}")


def test_config_and_the_upload_limit(server):
    u = server.register()
    limit = u.get(f"{V1}config")["m.upload.size"]
    check(isinstance(limit, int) and limit > 1_000_000)
    # A declared length beyond the limit is refused without the body being read.
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    c.putrequest("POST", "/_matrix/media/v3/upload")
    c.putheader("Authorization", f"Bearer {u.token}")
    c.putheader("Content-Type", "video/mp4")
    c.putheader("Content-Length", str(limit + 1))
    c.endheaders()
    r = c.getresponse()
    same((r.status, json.loads(r.read())["errcode"]), (413, "M_TOO_LARGE"))
    c.close()


def test_upload_needs_a_user(server):
    refused(server.call("POST", "/_matrix/media/v3/upload", b"x"), 401, "M_MISSING_TOKEN")
    refused(server.call("GET", f"{V1}config"), 401, "M_MISSING_TOKEN")


def test_a_large_upload_comes_back_whole(server):
    u = server.register()
    data = bytes(bytearray((n * 7919) % 256 for n in range(1 << 16))) * 80  # 5 MiB
    same(u.call("GET", f"{V1}download/{upload(u, data, 'video/mp4')}").body == data, True)


def test_async_upload(server):
    u, v = server.users(2)
    r = u.post("/_matrix/media/v1/create")
    where = r["content_uri"][len("mxc://"):]
    check(r.get("unused_expires_at", 1) > 0)
    refused(v.call("GET", f"{V1}download/{where}", query={"timeout_ms": 50}), 504, "M_NOT_YET_UPLOADED")
    waiting = Later(lambda: v.call("GET", f"{V1}download/{where}", query={"timeout_ms": 15000}))
    waiting.thread.join(0.1)
    path = f"/_matrix/media/v3/upload/{where}"
    refused(v.call("PUT", path, b"theirs", headers={"Content-Type": "text/plain"}), 403, "M_FORBIDDEN")
    same(ok(u.call("PUT", path, b"mine", headers={"Content-Type": "text/plain"})), {})
    same(waiting.value().body, b"mine", "a waiting download is answered")
    refused(u.call("PUT", path, b"again", headers={"Content-Type": "text/plain"}), 409, "M_CANNOT_OVERWRITE_MEDIA")
    refused(u.call("PUT", "/_matrix/media/v3/upload/localhost/unknown", b"x"), 404, "M_NOT_FOUND")


PAGE = """<html><head><title>Plain title</title><meta property="og:title" content="Haechi &amp; friends">
<meta property="og:description" content="guards"><meta property="og:image" content="/pic.png"></head><body>text</body></html>"""


def site(method, path, body):
    if path == "/page":
        return 200, {"Content-Type": "text/html; charset=utf-8"}, PAGE.encode()
    if path == "/plain":
        return 200, {"Content-Type": "text/html"}, b"<html><head><title>Only a title</title></head><body><p>Words here.</p></body></html>"
    if path == "/pic.png":
        return 200, {"Content-Type": "image/png"}, PNG_1X1
    if path == "/moved":
        return 302, {"Location": "/page"}, b""
    if path == "/metadata":
        return 302, {"Location": "http://169.254.169.254/latest"}, b""
    return 404, {}, b"no"


def test_url_preview(server):
    u = server.register()
    with LocalSite(site) as web:
        def preview(path):
            return u.call("GET", f"{V1}preview_url", query={"url": f"{web.base}{path}"})
        r = ok(preview("/page"))
        same((r["og:title"], r["og:description"]), ("Haechi & friends", "guards"))
        check(r["og:image"].startswith("mxc://localhost/"))
        same((r["og:image:width"], r["og:image:height"], r["matrix:image:size"]), (1, 1, len(PNG_1X1)))
        same(u.call("GET", f"{V1}download/{r['og:image'][6:]}").body, PNG_1X1)
        same(ok(preview("/plain"))["og:title"], "Only a title")
        same(ok(preview("/moved"))["og:title"], "Haechi & friends")
        check(preview("/missing").status in (200, 404, 502))
        same(preview("/metadata").status == 200 and bool(preview("/metadata").json), False, "a redirect to a private address")
        before = len(web.requests)
        ok(preview("/page"))
        same(len(web.requests), before, "kept for a while")
        r = ok(u.call("GET", "/_matrix/media/v3/preview_url", query={"url": f"{web.base}/page"}))
        same(r["og:title"], "Haechi & friends")


def test_previews_of_private_addresses_are_refused(server):
    u = server.register()
    for url in ("http://10.0.0.1/", "http://192.168.1.1/", "http://169.254.169.254/x", "http://[fe80::1]/", "ftp://127.0.0.1/", "file:///etc/passwd",
                "nonsense", "http://0x0a000001/"):
        r = u.call("GET", f"{V1}preview_url", query={"url": url})
        check(r.status in (400, 403, 404, 502), f"{url}: {r!r}")
    refused(u.call("GET", f"{V1}preview_url"), 400)
    refused(server.call("GET", f"{V1}preview_url", query={"url": "http://127.0.0.1"}), 401)


def test_odd_media_ids(server):
    u = server.register()
    for bad in ("..", "%2e%2e%2fx", "a%2fb", quote("../../../etc/passwd"), "x" * 500, "%00"):
        r = u.call("GET", f"{V1}download/localhost/{bad}")
        check(r.status in (400, 404), f"{bad}: {r!r}")
    check(unique())
