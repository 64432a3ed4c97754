"""The local server: its headers, whom it answers, what it gives, and that it reads nothing that a request names."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from plusx.errors import PlusxError, RunError
from plusx.explorer import export, server
from plusx.explorer.server import MOST_QUERY, create_app, listen
from plusx.explorer.site import PAGE, page_files, policy, theme_css
from plusx.explorer.views import answer
from waiting import HANG


def client(host: str = "127.0.0.1", **more) -> TestClient:
    return TestClient(create_app(**more), base_url=f"http://{host}", raise_server_exceptions=False)


@pytest.fixture(scope="module")
def page() -> TestClient:
    return client()


# ---- what it gives ----


def test_a_view_is_the_answer_of_the_views(page):
    query = {"net": "resnet18", "pin": "plain18", "lang": "zh"}
    found = page.get("/api/view", params=query)
    assert found.headers["content-type"] == "application/json"
    assert found.json() == json.loads(json.dumps(answer(query)))


def test_the_page_its_files_and_what_is_made_from_code(page):
    assert "<title>plusx</title>" in page.get("/").text
    for name in page_files():
        assert page.get(f"/{name}").status_code == 200
    assert page.get("/texts-zh.json").json()["words"]["copy"] == "复制"
    about = page.get("/about.json").json()
    assert (about["static"], about["net"]) == (False, "resnet50")
    assert client(net="plain18").get("/about.json").json()["net"] == "plain18"


def test_a_drawing_as_a_file(page):
    found = page.get("/api/svg", params={"net": "resnet18", "theme": "dark"})
    assert found.headers["content-type"].startswith("image/svg+xml")
    assert found.text.startswith("<svg")
    assert page.get("/api/svg", params={"net": "<b>"}).status_code == 400


def test_the_networks_that_run_are_offered_only_where_they_are(page):
    assert page.get("/about.json").json()["live"] == (PAGE / "live/live.js").is_file()


# ---- safe ----


def test_every_answer_has_the_headers(page):
    for path in ("/", "/api/view?net=resnet18", "/nothing", "/js/main.js"):
        headers = page.get(path).headers
        rules = headers["content-security-policy"]
        assert "unsafe-inline" not in rules
        assert "'unsafe-eval'" not in rules
        assert "default-src 'none'" in rules
        assert "frame-ancestors 'none'" in rules
        assert headers["x-content-type-options"] == "nosniff"


def test_the_page_has_the_same_policy_in_itself_and_nothing_inline():
    html = (PAGE / "index.html").read_text()
    assert policy(header=False) in html.replace("&#39;", "'")
    assert not re.search(r"<script(?![^>]*src=)", html)
    assert not re.search(r"\s(style|on\w+)=", html)
    for path in PAGE.rglob("*"):
        if path.suffix in (".html", ".js", ".css", ".svg") and "live" not in path.parts:
            found = set(re.findall(r"https?://[^\"'\s]+", path.read_text()))
            assert found <= {"http://www.w3.org/2000/svg"}, path


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "127.0.0.1.", "x" * 300]
)
def test_other_hosts_are_refused(page, host):
    assert page.get("/api/view?net=resnet18", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:9", "192.168.0.7:80"])
def test_this_machine_is_served(page, host):
    """Also by any of its addresses: to point a name here is the attack, and an address is no name."""
    assert page.get("/", headers={"host": host}).status_code == 200


def test_a_host_that_was_told_is_served():
    assert client(hosts=("box.local",)).get("/", headers={"host": "box.local:80"}).status_code == 200


def test_long_queries_are_refused(page):
    assert page.get(f"/api/view?net={'x' * MOST_QUERY}").status_code == 414
    assert "characters" in page.get(f"/api/view?net={'x' * 2000}").json()["error"]


@pytest.mark.parametrize(
    "path",
    ["/../server.py", "/..%2f..%2fserver.py", "/%2e%2e/site.py", "//etc/passwd", "/js/../../site.py", "/js/", "/vendor/pyodide/../x",
     "/vendor/numpy/x", "/vendor/pyodide/passwd", "/index.html%00.js"],
)  # fmt: skip
def test_no_file_but_the_pages_is_read(page, path):
    assert page.get(path).status_code == 404


def test_a_package_that_is_not_here_is_answered_with_the_way_out(monkeypatch, page):
    def absent(_package: str, _given: object) -> Path:
        raise RunError(server._("npm is not installed here"))

    monkeypatch.setattr(server, "vendored", absent)
    found = page.get("/vendor/pyodide/pyodide.mjs")
    assert (found.status_code, found.text) == (503, "npm is not installed here")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["net", "set", "size", "detail", "lang", "pin", "theme", "x"]), st.text(max_size=30)
    ),
    st.sampled_from(["view", "svg"]),
)
def test_no_query_makes_the_server_fail(page, query, what):
    text = urlencode({key: value.encode("utf-8", "surrogatepass") for key, value in query.items()})
    assert page.get(f"/api/{what}?{text}").status_code in (200, 400)


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_it_is_only_read(page, method):
    assert getattr(page, method)("/api/view").status_code == 405


# ---- ports ----


def test_a_port_in_use_is_said_in_a_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=rf"127\.0\.0\.1, port {port}, cannot be served \(Address already in use\)"):
            listen("127.0.0.1", port)
    with pytest.raises(RunError, match="there is no such address"):
        listen("no.such.host.invalid", 0)


# ---- the look ----


def test_both_themes_colour_the_drawings_alike():
    rules = theme_css()
    classes = {
        theme: set(re.findall(rf'data-theme="{theme}"\] \.drawing (\S+?){{', rules)) for theme in ("light", "dark")
    }
    assert classes["light"] == classes["dark"]
    assert ".conv" in classes["light"]
    assert "--page-fill:#ffffff" in rules


def test_the_page_is_light():
    """Below 300 kB with both languages, without what `live` brings."""
    size = sum(len(file.content) for name, file in page_files().items() if not name.startswith("live/"))
    assert size < 300_000


# ---- the static site ----


def test_a_site_has_the_same_files(tmp_path, monkeypatch):
    pyodide = tmp_path / "pyodide"
    pyodide.mkdir()
    (pyodide / "pyodide.mjs").write_text("export {}")
    monkeypatch.setattr(export, "vendored", lambda _package, _given: pyodide)
    export.write_site(tmp_path / "site", "plain18")
    for name, file in page_files().items():
        assert (tmp_path / "site" / name).read_bytes() == file.content
    about = json.loads((tmp_path / "site/about.json").read_text())
    assert (about["static"], about["net"]) == (True, "plain18")
    start = json.loads((tmp_path / "site/start-zh.json").read_text())
    assert start == json.loads(json.dumps(answer({"net": "plain18", "lang": "zh"})))
    assert (tmp_path / "site/vendor/pyodide/pyodide.mjs").is_file()
    export.write_site(tmp_path / "site", "resnet18")  # a site is replaced
    with pytest.raises(PlusxError, match="is no site of plusx"):
        export.write_site(pyodide, "resnet18")


# ---- the scripts' types ----


@pytest.mark.skipif(shutil.which("tsc") is None, reason="tsc is not here; make page-types fetches it")
def test_the_types_of_the_pages_scripts() -> None:
    done = subprocess.run(
        ["tsc", "-p", str(PAGE.parent / "jsconfig.json")], capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 0, done.stdout
