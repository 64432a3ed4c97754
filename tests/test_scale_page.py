"""docs/scale.md: its commands run where they need no other machine, and its Slurm and Kubernetes files are what these take."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from plusx.cli.main import main
from plusx.errors import EXTRAS
from shipping import copy_bare

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
ELSEWHERE = ("pip ", "sbatch ", "kubectl ", "parallel ")
"""Programs that are not plusx's; their plusx commands are looked at by `test_commands_of_other_programs`."""


def examples(page: str) -> list[tuple[str, str]]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for kind, code in examples("scale.md") if kind == "sh" for line in code.splitlines()]
    return [line.partition("  #")[0].strip() for line in lines]


def test_both_pages_have_the_same_examples() -> None:
    pages = [
        [(kind, re.sub(r"#.*", "", code).replace(" ", "")) for kind, code in examples(page)]
        for page in ("scale.md", "scale.zh.md")
    ]
    assert pages[0] == pages[1]
    assert all(line.startswith(("plusx ", *ELSEWHERE)) for line in commands())


def test_the_page_runs(
    photos: Path, jpegs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(jpegs[0].parent, "new")
    copy_bare(photos, tmp_path / "runs" / "photos")
    ran = 0
    for line in commands():
        words = shlex.split(line)
        if words[0] == "plusx" and "s3://" not in line and "ray" not in line:
            assert main(words[1:]) == 0, line
            ran += 1
    assert ran == 4
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 13
    # the answer that the page shows, with 13 images on 4 shards of which the third is missing
    shutil.copy(jpegs[0], "new/zzz.jpg")
    shutil.rmtree("parts")
    for i in (1, 2, 4):
        assert main(["predict", "runs/photos", "new/", "-o", "parts", "--shard", f"{i}/4"]) == 0
    capsys.readouterr()
    assert main(["merge", "parts"]) == 1
    (shown,) = (code for kind, code in examples("scale.md") if kind == "text")
    assert capsys.readouterr().err == shown


def test_commands_of_other_programs() -> None:
    for line in commands():
        for word in re.findall(r"docs/\S+", line):
            assert (ROOT / word).is_file(), line
        for extra in re.findall(r"plusx\[([\w,]+)\]", line):
            assert set(extra.split(",")) <= set(EXTRAS)
    (parallel,) = (line for line in commands() if line.startswith("parallel "))
    assert "--shard {}/32 ::: {1..32}" in parallel


def test_the_slurm_script_computes_the_shard_of_its_task(tmp_path: Path) -> None:
    """Run by bash with a plusx that prints its words; the numbers of --array and of the shards are the same."""
    script = DOCS / "scale/slurm.sh"
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    (tmp_path / "plusx").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "plusx").chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": "7",
        "SLURM_CPUS_PER_TASK": "16",
    }
    words = ["bash", str(script), "runs/my photos", "new", str(tmp_path / "a/parts")]
    said = subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout
    assert "--shard 7/64 --threads 16" in said and (tmp_path / "a/parts").is_dir()
    text = script.read_text(encoding="utf-8")
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", text, re.MULTILINE))
    assert options["array"] == "1-" + re.findall(r"^shards=(\d+)", text, re.MULTILINE)[0] == "1-64"
    assert set(options) == {"job-name", "array", "cpus-per-task", "mem", "time", "requeue"}  # of sbatch(1)
    assert subprocess.run(words[:2], env=env, capture_output=True).returncode != 0, "without BUNDLE it stops"


FIELDS = {
    "": {"apiVersion": str, "kind": str, "metadata": dict, "spec": dict},
    "metadata": {"name": str},
    "spec": {
        "completionMode": str, "completions": int, "parallelism": int, "backoffLimitPerIndex": int, "maxFailedIndexes": int,
        "podFailurePolicy": dict, "template": dict,
    },
    "spec.podFailurePolicy": {"rules": list},
    "spec.podFailurePolicy.rules": {"action": str, "onExitCodes": dict},
    "spec.podFailurePolicy.rules.onExitCodes": {"containerName": str, "operator": str, "values": list},
    "spec.template": {"spec": dict},
    "spec.template.spec": {"restartPolicy": str, "containers": list, "volumes": list},
    "spec.template.spec.containers": {
        "name": str, "image": str, "command": list, "args": list, "envFrom": list, "resources": dict, "volumeMounts": list,
    },
    "spec.template.spec.containers.envFrom": {"secretRef": dict},
    "spec.template.spec.containers.envFrom.secretRef": {"name": str},
    "spec.template.spec.containers.resources": {"requests": dict, "limits": dict},
    "spec.template.spec.containers.resources.requests": {"cpu": str, "memory": str},
    "spec.template.spec.containers.resources.limits": {"memory": str},
    "spec.template.spec.containers.volumeMounts": {"name": str, "mountPath": str, "readOnly": bool},
    "spec.template.spec.volumes": {"name": str, "persistentVolumeClaim": dict, "emptyDir": dict},
    "spec.template.spec.volumes.persistentVolumeClaim": {"claimName": str, "readOnly": bool},
    "spec.template.spec.volumes.emptyDir": {"sizeLimit": str},
}  # fmt: skip
"""Fields and kinds of batch/v1 Job and core/v1 Pod that the file uses, from the Kubernetes API reference (v1.31)."""


def wrong_fields(value: object, at: str = "") -> list[str]:
    """Where a document has a field, or a kind of value, that Kubernetes does not take."""
    if isinstance(value, list):
        return [text for each in value for text in wrong_fields(each, at)]
    if not isinstance(value, dict):
        return []
    known, found = FIELDS.get(at, {}), []
    for key, each in value.items():
        if type(each) is not known.get(key):
            found.append(f"{at}.{key}: {type(each).__name__}")
        found += wrong_fields(each, f"{at}.{key}".lstrip("."))
    return found


def test_the_kubernetes_file_is_an_indexed_job() -> None:
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((DOCS / "scale/kubernetes.yaml").read_text(encoding="utf-8"))
    assert wrong_fields(job) == []
    assert wrong_fields({**job, "spec": {**job["spec"], "completion": 3}}) == [".spec.completion: int".lstrip(".")], (
        "a misspelt one is seen"
    )
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"], spec["completionMode"]) == ("batch/v1", "Job", "Indexed")
    pod = spec["template"]["spec"]
    (container,), (rule,) = pod["containers"], spec["podFailurePolicy"]["rules"]
    assert pod["restartPolicy"] == "Never", "what podFailurePolicy and backoffLimitPerIndex need"
    assert spec["parallelism"] <= spec["completions"] and rule["onExitCodes"]["containerName"] == container["name"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    (line,) = container["args"]
    done = subprocess.run(
        ["sh", "-c", line.replace("exec plusx", "echo")],
        env={"JOB_COMPLETION_INDEX": "63"},
        capture_output=True,
        text=True,
    )
    assert f"--shard {spec['completions']}/{spec['completions']} " in done.stdout, "the last index is the last shard"
    assert f"--threads {container['resources']['requests']['cpu']} " in done.stdout
