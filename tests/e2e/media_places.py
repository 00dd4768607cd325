"""Media in an S3 store, and in the database that all nodes share: the same as on the own disk."""

import hashlib
import random
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

import media  # noqa: E402
from fake_s3 import ACCESS_KEY, REGION, SECRET_KEY, FakeS3  # noqa: E402
from harness import POSTGRES, Http, Later, Server, check, ok, refused, same  # noqa: E402

V1 = media.V1
LARGE = 20 * 1024 * 1024 + 77


def s3_config(s3, folder):
    secret = Path(folder) / "secret"
    secret.write_text(SECRET_KEY + "\n")
    secret.chmod(0o600)
    return f"""
[blobs]
store = "s3"
s3_endpoint = "{s3.endpoint}"
s3_region = "{REGION}"
s3_bucket = "media"
s3_access_key = "{ACCESS_KEY}"
s3_secret_key_file = "{secret}"
"""


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def cached(server):
    return [f for f in Path(server.data).glob("**/cache/*/*") if f.is_file()]


def empty_cache(server):
    for f in cached(server):
        f.unlink()


def test_media_in_an_s3_store(_server):
    with FakeS3() as s3, tempfile.TemporaryDirectory() as folder:
        with Server(config=s3_config(s3, folder), nodes=1) as server:
            for test in (media.test_upload_and_download, media.test_ranges, media.test_thumbnails):
                test(server)
            u = server.register()
            data = noise(LARGE)
            where = media.upload(u, data)
            check(any(size == LARGE for size in map(len, s3.store.objects.values())), "the object is not in the store")
            same(hashlib.sha256(u.call("GET", V1 + "download/" + where).body).digest(), hashlib.sha256(data).digest())

            # A node that has no copy fetches it; a part of it does not bring the rest along.
            server.stop()
            empty_cache(server)
            server.start()
            s3.store.requests.clear()
            r = u.call("GET", V1 + "download/" + where, headers={"Range": "bytes=10000000-10000999"})
            same((r.status, r.body), (206, data[10_000_000:10_001_000]))
            same(len([q for q in s3.store.requests if q.startswith("GET")]), 1)
            check(sum(f.stat().st_blocks * 512 for f in cached(server)) < 3 << 20, "more came than was asked for")
            same(u.call("GET", V1 + "download/" + where).body, data)

            # What fails in passing nobody notices; what is damaged is not served.
            s3.store.faults = [{"match": "PUT ", "do": "503", "times": 2}, {"match": "GET ", "do": "cut", "times": 1}]
            where = media.upload(u, noise(50_000, 2))
            same(u.call("GET", V1 + "download/" + where).body, noise(50_000, 2))
            log = server.log_path.read_text()
            check(SECRET_KEY not in log, "the secret is in the log")


def test_a_wrong_secret_is_told(_server):
    with FakeS3() as s3, tempfile.TemporaryDirectory() as folder:
        config = s3_config(s3, folder)
        (Path(folder) / "secret").write_text("wrong-secret")
        with Server(config=config, nodes=1) as server:
            u = server.register()
            r = u.call("POST", "/_matrix/media/v3/upload", b"abc", headers={"Content-Type": "text/plain"})
            same(r.status, 500)
            log = server.log_path.read_text()
            check("SignatureDoesNotMatch" in log and "wrong-secret" not in log, "what the operator reads")
            same(ok(u.call("GET", "/_matrix/client/v3/account/whoami"))["user_id"], u.id)
            refused(u.call("GET", V1 + "download/localhost/nothing"), 404, "M_NOT_FOUND")


def test_media_on_another_node(_server):
    if not POSTGRES:
        return  # only nodes that share a database have others
    with Server(nodes=2) as server:
        u = server.register()
        auth = {"Authorization": f"Bearer {u.token}"}
        a, b = (Http(port) for port in server.ports)
        for size in (0, 3000, LARGE):
            data = noise(size, size)
            r = ok(a.request("POST", "/_matrix/media/v3/upload", data, {**auth, "Content-Type": "video/mp4"}))
            where = r["content_uri"][len("mxc://"):]
            if size > 1_000_000:
                r = b.request("GET", V1 + "download/" + where, headers={**auth, "Range": "bytes=9000000-9000099"})
                same((r.status, r.body), (206, data[9_000_000:9_000_100]))
            same(b.request("GET", V1 + "download/" + where, headers=auth).body, data)

        # Reserved here, waited for here, uploaded there.
        r = ok(a.request("POST", "/_matrix/media/v1/create", {}, auth))
        where = r["content_uri"][len("mxc://"):]
        waiting = Later(lambda: a.request("GET", V1 + "download/" + where, headers=auth))
        data = media.png(640, 480)
        ok(b.request("PUT", "/_matrix/media/v3/upload/" + where, data, {**auth, "Content-Type": "image/png"}))
        same(waiting.value().body, data)
        small = {"width": "96", "height": "96", "method": "crop"}
        thumbnails = [h.request("GET", V1 + "thumbnail/" + where, headers=auth, query=small) for h in (a, b, a)]
        same({(t.status, t.body) for t in thumbnails}, {(200, thumbnails[0].body)})

        # With its copies gone a node fetches again; with the other node gone nothing is missing.
        server.stop()
        empty_cache(server)
        server.start()
        server.others[0].kill()
        server.others.clear()
        same(a.request("GET", V1 + "download/" + where, headers=auth).body, data)
        same(a.request("GET", V1 + "thumbnail/" + where, headers=auth, query=small).body, thumbnails[0].body)
