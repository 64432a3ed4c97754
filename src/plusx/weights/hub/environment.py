"""What the environment says to other libraries about hubs, tokens and caches. Each variable means here what it means there.

HF_ENDPOINT                             the host in place of huggingface.co, as a mirror
HF_TOKEN, HUGGING_FACE_HUB_TOKEN        a token; else the one in HF_TOKEN_PATH, by default HF_HOME/token
HF_HUB_DISABLE_IMPLICIT_TOKEN           if 1, no token is sent
HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE    if 1, nothing is taken from Hugging Face's hub
HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME    where huggingface_hub keeps its files
TORCH_HOME, KERAS_HOME, MODELSCOPE_CACHE        where the others keep theirs
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from plusx import settings
from plusx.weights.hub import remote

YES = ("1", "ON", "YES", "TRUE")
MOST_TOKEN = 4096


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").upper() in YES


def endpoint() -> str:
    """The address of Hugging Face's hub or of the mirror that HF_ENDPOINT names, without a slash at its end."""
    return os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or remote.HUB


def mirror() -> str | None:
    """The host of a mirror, or None where HF_ENDPOINT is not set or is the hub itself."""
    own = urlsplit(endpoint()).netloc
    return None if own == urlsplit(remote.HUB).netloc else own


def is_offline(repo: str) -> str | None:
    """The variable that forbids downloads, of a file of the hub's repository `repo` or of the web ("")."""
    if settings.offline():
        return "PLUSX_OFFLINE"
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if repo else ()
    return next((name for name in names if _is_set(name)), None)


def token() -> str | None:
    """The user's token for Hugging Face's hub."""
    if _is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        return None
    text = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN") or _token_file()
    text = text.strip()
    return text if text and text.isascii() and text.isprintable() and len(text) <= MOST_TOKEN else None


def _token_file() -> str:
    home = hf_home()
    path = os.environ.get("HF_TOKEN_PATH") or (home and home / "token")
    try:
        return "" if path is None else Path(path).expanduser().read_text(encoding="ascii")
    except (OSError, ValueError, RuntimeError):
        return ""


def _folder(variable: str, *default: str) -> Path | None:
    """The folder of a variable, else one below the user's home; None for a user without one."""
    try:
        own = os.environ.get(variable)
        return Path(own).expanduser() if own else Path.home().joinpath(*default)
    except RuntimeError:
        return None


def _cache_home() -> Path | None:
    return _folder("XDG_CACHE_HOME", ".cache")


def hf_home() -> Path | None:
    home = _cache_home()
    return _folder("HF_HOME") if os.environ.get("HF_HOME") else home and home / "huggingface"


def hf_cache() -> Path | None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return _folder(name)
    home = hf_home()
    return home and home / "hub"


def torch_checkpoints() -> Path | None:
    """torch.hub's folder; another one that a program sets with torch.hub.set_dir is not known here."""
    home = _cache_home()
    base = _folder("TORCH_HOME") if os.environ.get("TORCH_HOME") else home and home / "torch"
    return base and base / "hub" / "checkpoints"


def keras_models() -> Path | None:
    home = _folder("KERAS_HOME", ".keras")
    return home and home / "models"


def modelscope_caches() -> tuple[Path, ...]:
    """The folder that MODELSCOPE_CACHE names, else the usual one; models lie in it or in `models` below it."""
    base = _folder("MODELSCOPE_CACHE", ".cache", "modelscope", "hub")
    return () if base is None else (base / "models", base)
