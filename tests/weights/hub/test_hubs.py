"""Hugging Face's hub, its mirrors, tokens, revisions, and the caches of other libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Server, cut, files_below, redirect, serving, sha256, status, whole

from plusx.errors import PlusxError, RunError, SpecError, WeightsError
from plusx.weights import fetch
from plusx.weights.hub import names
from plusx.weights.hub.entries import ENTRIES
from plusx.weights.hub.records import record_path
from plusx.weights.hub.remote import Digest, hub_file
from waiting import HANG

FILE, OTHER = b"0123456789" * 5000, b"9876543210" * 5000
MODEL = "/org/net/resolve/main/model.safetensors"
TOKEN = "hf_thisIsSecret"


def refused(name: str, kind: type[PlusxError] = WeightsError) -> str:
    with pytest.raises(kind) as raised:
        fetch(name)
    text = str(raised.value)
    assert "\n" not in text and text.endswith(".") and TOKEN not in text
    return text


# ---- the hub ----


def test_the_weights_of_a_repository(hub: Server) -> None:
    hub.on(MODEL, whole(FILE, X_Repo_Commit="a" * 40))
    hub.on("/org/net/resolve/main/config.json", whole(b'{"model_type": "resnet"}'))
    found = fetch("hf:org/net")
    assert found.path.read_bytes() == FILE
    assert (found.path.parent / "config.json").read_bytes() == b'{"model_type": "resnet"}'
    assert f"revision {'a' * 40}" in found.said[0] and sha256(FILE) in found.said[1]
    assert [path for path, _headers in hub.asked] == ["/org/net/resolve/main/config.json", MODEL]


def test_older_repositories_have_another_file(hub: Server) -> None:
    hub.on("/org/net/resolve/main/pytorch_model.bin", whole(FILE))
    assert fetch("hf:org/net").path.name == "pytorch_model.bin"
    assert refused("hf:org/other") == (
        "org/other has no file model.safetensors, pytorch_model.bin at revision main (HTTP 404). Check the name, or write "
        "hf:org/other/FILE with a file that it has."
    )


def test_a_revision_and_a_file_are_asked_for_and_kept_apart(hub: Server) -> None:
    hub.on(MODEL, whole(FILE))
    hub.on("/org/net/resolve/v1/model.safetensors", whole(OTHER))
    hub.on("/org/net/resolve/v1/old/net.bin", whole(b"third"))
    assert fetch("hf:org/net").path.read_bytes() == FILE
    assert fetch("hf:org/net@v1").path.read_bytes() == OTHER
    assert fetch("hf://org/net@v1/old/net.bin").path.read_bytes() == b"third"


def test_the_hash_that_the_hub_states_is_compared(hub: Server) -> None:
    """The hub describes the file in the redirect to the server that has its data."""
    with serving() as cdn:
        data = cdn.on("/blob", whole(FILE))
        hub.on(MODEL, redirect(data, X_Linked_Etag=f'"{sha256(FILE)}"', X_Linked_Size=str(len(FILE))))
        assert fetch("hf:org/net").said[-1].endswith("model.safetensors")
        hub.on("/org/b/resolve/main/model.safetensors", redirect(data, X_Linked_Etag=f'"{sha256(OTHER)}"'))
        assert sha256(OTHER) in refused("hf:org/b")


@pytest.mark.parametrize(
    "name", ["hf:", "hf:org", "hf:org/../net", "hf:org/net@", "hf:../..", "hf:org/net/../../x", "hf:org/net@..", "hf:org/net/a\x1bb", "hf:орг/net", "hf:org/net@вер"]
)  # fmt: skip
def test_names_that_are_no_repository(name: str) -> None:
    assert "is no repository of Hugging Face's hub" in refused(name)


# ---- tokens ----


def sent(server: Server) -> list[str | None]:
    return [headers.get("Authorization") for _path, headers in server.asked]


def test_a_token_goes_to_the_hub_and_to_no_other_host(hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serving() as cdn:
        data = cdn.on("/blob", cut(FILE, 99), whole(FILE))
        hub.on("/renamed/net/resolve/main/model.safetensors", redirect(data))
        hub.on(MODEL, redirect("/renamed/net/resolve/main/model.safetensors", 307))
        assert fetch("hf:org/net").path.read_bytes() == FILE
        assert sent(cdn) == [None, None]
        assert [each for each in sent(hub) if each != f"Bearer {TOKEN}"] == []
        assert fetch(cdn.on("/net.pth", whole(FILE))).path.read_bytes() == FILE
        assert sent(cdn)[2:] == [None]


def test_a_token_does_not_follow_to_another_port_or_scheme(hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same host by name is another server where the port differs."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serving() as other:
        assert other.url.rpartition(":")[0] == hub.url.rpartition(":")[0]
        hub.on(MODEL, redirect(other.on("/x", whole(FILE))))
        fetch("hf:org/net")
        assert sent(other) == [None]


@pytest.mark.parametrize("where", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HOME"])
def test_where_a_token_is_found(hub: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str) -> None:
    folder = {"HF_HOME": tmp_path, "HOME": tmp_path / ".cache/huggingface"}.get(where)
    if where.endswith("TOKEN"):
        monkeypatch.setenv(where, f" {TOKEN}\n")
    else:
        path = tmp_path / "mine" if folder is None else folder / "token"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{TOKEN}\n")
        monkeypatch.setenv(where, str(path if folder is None else tmp_path))
    hub.on(MODEL, whole(FILE))
    fetch("hf:org/net")
    assert sent(hub)[0] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("token", ["two\nlines", "schlüssel", " "])
def test_a_token_that_is_none_is_not_sent(hub: Server, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    hub.on(MODEL, whole(FILE))
    fetch("hf:org/net")
    assert sent(hub) == [None, None]


def test_a_token_can_be_withheld(hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    hub.on(MODEL, whole(FILE))
    fetch("hf:org/net")
    assert sent(hub) == [None, None]


def test_a_gated_repository_says_what_to_do(hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.on(MODEL, status(401))
    assert "set HF_TOKEN" in refused("hf:org/net")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "token's account" in refused("hf:org/net")
    monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("127.0.0.1", "localhost"))
    assert "no token to a mirror" in refused("hf:org/net")


# ---- mirrors ----


@pytest.fixture
def mirror(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return server


def test_a_mirror_gets_the_request_and_no_token(mirror: Server) -> None:
    mirror.on("/timm/net/resolve/main/model.safetensors", whole(FILE))
    assert fetch("hf:timm/net").path.read_bytes() == FILE
    assert set(sent(mirror)) == {None}


def test_an_address_of_the_hub_goes_to_the_mirror_too(mirror: Server) -> None:
    mirror.on(MODEL, whole(FILE))
    assert fetch(f"https://huggingface.co{MODEL}").path.read_bytes() == FILE


def test_a_mirror_that_sends_the_data_elsewhere_is_not_followed(mirror: Server) -> None:
    """unslothai/unsloth#1353, hf-mirror-site#64: the data plane bypassed HF_ENDPOINT."""
    mirror.on(MODEL, redirect("https://cas-bridge.xethub.hf.co/xet/1?signature=2"))
    text = refused("hf:org/net")
    assert mirror.url in text and "cas-bridge.xethub.hf.co" in text and "unset HF_ENDPOINT" in text


def test_a_mirror_may_redirect_to_itself(mirror: Server) -> None:
    mirror.on("/data", whole(FILE))
    mirror.on(MODEL, redirect("/data"))
    assert fetch("hf:org/net").path.read_bytes() == FILE


def test_a_file_of_a_mirror_is_the_one_of_the_hub(mirror: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror that serves another file than was seen first is refused, and one that serves the same needs no download."""
    mirror.on(MODEL, whole(FILE))
    path = fetch("hf:org/net").path
    assert path.relative_to(os.environ["PLUSX_CACHE"]).parts[:2] == ("weights", "huggingface.co")
    path.unlink()
    mirror.on(MODEL, whole(OTHER))
    text = refused("hf:org/net")
    assert sha256(FILE)[:16] in text and sha256(OTHER)[:16] in text and f"Delete {record_path(path)} to accept" in text
    mirror.on(MODEL, whole(FILE))
    assert fetch("hf:org/net").path == path


def test_an_endpoint_that_is_no_address_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "hf-mirror.com")
    assert "is no address of a file on the web" in refused("hf:org/net")


# ---- offline ----


@pytest.mark.parametrize(
    ("variable", "value"), [("PLUSX_OFFLINE", "1"), ("HF_HUB_OFFLINE", "1"), ("TRANSFORMERS_OFFLINE", "true")]
)
def test_offline_says_what_to_get_and_where_to_put_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    name = "timm/resnet50.a1_in1k"
    place = Path(
        os.environ["PLUSX_CACHE"], "weights/huggingface.co/timm/resnet50.a1_in1k/resolve/main/model.safetensors"
    )
    assert refused(name) == (
        f"{name} is not on this machine, and {variable} forbids downloads. Get "
        f"https://huggingface.co/timm/resnet50.a1_in1k/resolve/main/model.safetensors (no hash is published) and put it at {place}."
    )
    place.parent.mkdir(parents=True)
    place.write_bytes(FILE)
    found = fetch(name)
    assert (found.path, found.entry) == (place, ENTRIES[name])
    assert "by hand" in found.said[0] and sha256(FILE) in found.said[1]


def test_offline_names_the_hash_of_a_file_that_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUSX_OFFLINE", "1")
    text = refused("torchvision/resnet50:IMAGENET1K_V1")
    assert "https://download.pytorch.org/models/resnet50-0676ba61.pth (sha256 0676ba61…)" in text
    place = names.read_name("torchvision/resnet50:IMAGENET1K_V1").files[0].place
    place.parent.mkdir(parents=True)
    place.write_bytes(FILE)
    assert "another hash than the published one (sha256 0676ba61…)" in refused("torchvision/resnet50:IMAGENET1K_V1")


def test_offline_of_the_hub_leaves_other_hosts_alone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(server.on("/net.pth", whole(FILE))).path.read_bytes() == FILE


# ---- what changed afterwards ----


def test_no_file_lies_where_the_record_of_another_does(server: Server) -> None:
    """A repository could otherwise replace what plusx remembers of its weights."""
    paths = [
        fetch(server.on(f"/a/{name}", whole(FILE))).path for name in ("x", "x.json", ".x.record.json", ".x.lock", "..x")
    ]
    kept = [*paths, *map(record_path, paths)]
    assert len(set(kept)) == len(kept)
    assert [path.read_bytes() for path in paths] == [FILE] * len(paths)
    assert not [path for path in paths if path.name.startswith(".")]


def test_a_file_that_changed_in_the_cache_is_refused(server: Server) -> None:
    url = server.on("/net.pth", whole(FILE))
    path = fetch(url).path
    path.write_bytes(OTHER)
    text = refused(url)
    assert sha256(OTHER)[:16] in text and sha256(FILE)[:16] in text and str(record_path(path)) in text
    record_path(path).unlink()
    assert fetch(url).sha256 == sha256(OTHER)


def test_a_file_with_a_published_hash_that_changed_is_fetched_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plusx.weights.hub.remote.HASHES_IN_NAMES", ("127.0.0.1",))
    url = server.on(f"/net-{sha256(FILE)[:8]}.pth", whole(FILE))
    path = fetch(url).path
    path.write_bytes(OTHER)
    found = fetch(url)
    assert path.read_bytes() == FILE and found.sha256 == sha256(FILE)
    assert f"{path} is damaged and is fetched again" in found.said


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": "plusx.fetched/1", "sha256": "00"}', "\x00" * 99])
def test_a_damaged_record_is_refused(server: Server, text: str) -> None:
    url = server.on("/net.pth", whole(FILE))
    path = fetch(url).path
    record_path(path).write_text(text)
    assert f"{record_path(path)} is damaged" in refused(url)


# ---- caches of other libraries ----


def in_hf_cache(root: Path, content: bytes, blob: str | None = None, revision: str = "main") -> Path:
    """huggingface_hub's own layout, as its documentation draws it."""
    folder = root / "models--org--net"
    for name in ("refs", "snapshots/c0ffee", "blobs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "refs" / revision).write_text("c0ffee")
    (folder / "blobs" / (blob or sha256(content))).write_bytes(content)
    link = folder / "snapshots/c0ffee/model.safetensors"
    link.unlink(missing_ok=True)
    link.symlink_to(f"../../blobs/{blob or sha256(content)}")
    return link


@pytest.mark.parametrize(
    ("variable", "below"),
    [("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub"), ("XDG_CACHE_HOME", "huggingface/hub"), ("HOME", ".cache/huggingface/hub")],
)  # fmt: skip
def test_a_file_of_huggingface_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, below: str) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "theirs"))
    monkeypatch.setenv("PLUSX_OFFLINE", "1")
    link = in_hf_cache(tmp_path / "theirs" / below, FILE)
    for name in ("hf:org/net", "hf:org/net@c0ffee"):
        found = fetch(name)
        assert (found.path, found.sha256) == (link, sha256(FILE))
        assert "huggingface_hub" in found.said[0]
    assert "not on this machine" in refused("hf:org/net@other")


def test_a_damaged_file_of_huggingface_hub_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hub: Server
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "theirs"))
    in_hf_cache(tmp_path / "theirs", OTHER, blob=sha256(FILE))
    hub.on(MODEL, whole(FILE))
    found = fetch("hf:org/net")
    assert found.path.read_bytes() == FILE and found.path.is_relative_to(tmp_path / "cache")
    assert [line for line in found.said if "another hash than it should" in line]


def test_a_file_of_huggingface_hub_that_changed_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hub: Server
) -> None:
    """Small files lie there under a hash that is not theirs; the one seen first counts."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "theirs"))
    link = in_hf_cache(tmp_path / "theirs", FILE, blob="0" * 40)
    assert sha256(FILE) in fetch("hf:org/net").said[1]
    in_hf_cache(tmp_path / "theirs", OTHER, blob="0" * 40)
    hub.on(MODEL, whole(FILE))
    assert fetch("hf:org/net").path != link


@pytest.mark.parametrize("folder", ["models/org/my___net", "models/org/my.net", "org/my___net", "org/my.net"])
@pytest.mark.parametrize("variable", ["MODELSCOPE_CACHE", "HOME"])
def test_a_file_of_modelscope(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str, variable: str) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "theirs"))
    monkeypatch.setenv("PLUSX_OFFLINE", "1")
    base = tmp_path / "theirs" / ("" if variable == "MODELSCOPE_CACHE" else ".cache/modelscope/hub")
    path = base / folder / "model.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(FILE)
    found = fetch("hf:org/my.net")
    assert found.path == path and "ModelScope" in found.said[0] and sha256(FILE) in found.said[1]
    path.write_bytes(OTHER)
    assert "not on this machine" in refused("hf:org/my.net")


@pytest.mark.parametrize(
    ("owner", "variable", "below"),
    [("torch", "TORCH_HOME", "hub/checkpoints"), ("torch", "XDG_CACHE_HOME", "torch/hub/checkpoints"),
     ("torch", "HOME", ".cache/torch/hub/checkpoints"), ("Keras", "KERAS_HOME", "models"), ("Keras", "HOME", ".keras/models")],
)  # fmt: skip
def test_a_file_of_torch_or_keras(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, owner: str, variable: str, below: str
) -> None:
    name = {"torch": "torchvision/resnet18:IMAGENET1K_V1", "Keras": "keras/resnet50"}[owner]
    monkeypatch.setenv(variable, str(tmp_path / "theirs"))
    monkeypatch.setenv("PLUSX_OFFLINE", "1")
    path = tmp_path / "theirs" / below / names.read_name(name).files[0].basename
    path.parent.mkdir(parents=True)
    path.write_bytes(OTHER)
    assert "not on this machine" in refused(name)
    monkeypatch.setattr(
        Digest, "fits", lambda digest, path, sha256: path.read_bytes() == FILE
    )  # of the real file, which is not here
    path.write_bytes(FILE)
    found = fetch(name)
    assert (found.path, found.entry) == (path, ENTRIES[name]) and owner in found.said[0]


def test_a_file_of_torch_without_a_published_hash_is_not_used(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """There, all files of one name share a place."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "theirs"))
    path = tmp_path / "theirs/hub/checkpoints/weights.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(OTHER)
    assert fetch(server.on("/weights.pth", whole(FILE))).path.read_bytes() == FILE


def test_a_cache_that_cannot_be_written_does_not_stop_the_use_of_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "theirs"))
    monkeypatch.setenv("PLUSX_CACHE", "/proc/nowhere")
    link = in_hf_cache(tmp_path / "theirs", FILE)
    found = fetch("hf:org/net")
    assert found.path == link and found.said[-1].startswith("its hash could not be remembered")


# ---- names ----


def test_a_path_of_this_machine_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from plusx.weights.hub.fetching import local_file

    monkeypatch.chdir(tmp_path)
    Path("timm").mkdir()
    Path("timm/resnet50.a1_in1k").write_bytes(FILE)
    Path("imagenet").mkdir()
    assert local_file("timm/resnet50.a1_in1k") == Path("timm/resnet50.a1_in1k")
    assert local_file("imagenet") == Path("imagenet")


@pytest.mark.parametrize(
    ("name", "near"),
    [("torchvision/resnet5O", "torchvision/resnet50:IMAGENET1K_V1"), ("torchvision/resnet50:IMAGENET1K_V3", "torchvision/resnet50:IMAGENET1K_V1"),
     ("timm/resnet50.a1_in1", "timm/resnet50.a1_in1k"), ("keras/resnet18", "keras/resnet152"), ("timm/", "timm/resnet")],
)  # fmt: skip
def test_an_unknown_name_has_neighbours(name: str, near: str) -> None:
    text = refused(name)
    assert repr(name) in text and near in text and "plusx weights list shows all" in text
    assert name.startswith("timm/") == (f"hf:{name}" in text)


def test_imagenet_needs_a_network() -> None:
    assert "no network is named" in refused("imagenet", SpecError)


def test_a_table_name_with_a_revision(hub: Server) -> None:
    assert names.read_name("timm/resnet50.a1_in1k@abc").files == (
        hub_file("timm/resnet50.a1_in1k", "model.safetensors", "abc"),
    )
    assert "has no revisions" in refused("torchvision/resnet50:IMAGENET1K_V1@abc")


def test_other_ways_to_name_what_the_table_has() -> None:
    entry = ENTRIES["timm/resnet50.a1_in1k"]
    for name in ("hf:timm/resnet50.a1_in1k", "hf:timm/resnet50.a1_in1k@1234", f"{entry.files[0].url}"):
        assert names.read_name(name).entry is entry, name
    assert names.read_name("hf:timm/resnet50.a1_in1k/pytorch_model.bin").entry is None
    first = ENTRIES["torchvision/resnet50:IMAGENET1K_V1"]
    assert names.read_name(first.files[0].url).entry is first
    assert names.read_name(Path(first.files[0].url)).entry is first, "pathlib merges slashes"


def test_hashes_are_those_of_their_standards(tmp_path: Path) -> None:
    """RFC 1321 and FIPS 180-2 give these for "abc"."""
    path, full = tmp_path / "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"abc")
    assert sha256(b"abc") == full
    assert Digest("md5", "900150983cd24fb0d6963f7d28e17f72").fits(path, full)
    assert Digest("sha256", full[:8]).fits(path, full)
    assert not Digest("md5", "900150983cd24fb0d6963f7d28e17f73").fits(path, full)
    assert not Digest("sha256", "ba7816be").fits(path, full)
    assert [str(Digest("sha256", full[:8])), str(Digest("md5", "9" * 32))] == ["sha256 ba7816bf…", f"md5 {'9' * 32}"]


# ---- two processes ----


def test_two_processes_download_once(server: Server) -> None:
    import threading

    go = threading.Event()

    def halfway(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(FILE)))
        handler.end_headers()
        handler.wfile.write(FILE[:99])
        handler.wfile.flush()
        go.wait(HANG)
        handler.wfile.write(FILE[99:])
        handler.close_connection = True

    url = server.on("/net.pth", halfway)
    code = (
        "import sys\nfrom plusx.weights.hub.fetching import fetch\nfrom plusx.weights.hub.watching import Watch, watching\n"
        "class Loud(Watch):\n"
        "    def started(self, *words): print('started', flush=True)\n"
        "    def waits(self, why): print(why, flush=True)\n"
        "with watching(Loud()): print(fetch(sys.argv[1]).path)\n"
    )
    start = lambda: subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True)  # noqa: E731
    with start() as first:
        assert first.stdout is not None and first.stdout.readline() == "started\n"
        with start() as second:
            assert second.stdout is not None
            assert second.stdout.readline() == "another process downloads net.pth; waiting for it\n"
            go.set()
            paths = [process.communicate(timeout=HANG)[0] for process in (first, second)]
    assert paths[0] == paths[1] and Path(paths[0].strip()).read_bytes() == FILE
    assert len(server.asked) == 1


def test_nothing_is_left_of_a_download_but_the_file_and_its_record(hub: Server) -> None:
    hub.on(MODEL, cut(FILE, 100), whole(FILE))
    path = fetch("hf:org/net").path
    assert files_below(path.parent) == {"model.safetensors", ".model.safetensors.record.json"}
    assert json.loads(record_path(path).read_text()) == {
        "schema": "plusx.fetched/1", "url": f"{hub.url}{MODEL}", "sha256": sha256(FILE), "bytes": len(FILE), "commit": "",
    }  # fmt: skip


def test_a_run_error_is_for_the_network_and_a_weights_error_for_the_rest() -> None:
    """Exit codes: 3 says that the same command may succeed later."""
    assert (RunError.exit_code, WeightsError.exit_code) == (3, 2)
