"""Fetches the jars that `connectors/pom.xml` names into a cache, once for each content of that file.

A cache directory is filled under another name and then renamed. So one that is there is complete, and neither Maven nor
the network is used for it again.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cdc_masker import resources
from cdc_masker.errors import SetupError
from cdc_masker.stack import programs

__all__ = ["Jars", "fetch"]


@dataclass(frozen=True, slots=True)
class Jars:
    """`servers` holds the jars of Kafka and Kafka Connect; `plugins` one directory of jars for each connector."""

    servers: Path
    plugins: Path

    @property
    def class_path(self) -> str:
        return f"{self.servers}/*"


def fetch(progress: Callable[[str], None]) -> Jars:
    """The jars, downloaded first when they are not in the cache. Raises `SetupError` when Maven can't get them."""
    pom = resources.path("connectors") / "pom.xml"
    try:
        digest = hashlib.sha256(pom.read_bytes()).hexdigest()
    except OSError:
        raise SetupError(f"{pom} can't be read; install cdc-masker again") from None
    complete = programs.cache_directory() / "jvm" / digest[:16]
    jars = Jars(complete / "servers", complete / "plugins")
    if complete.is_dir():
        return jars

    maven = programs.maven()
    complete.parent.mkdir(parents=True, exist_ok=True)
    filling = Path(tempfile.mkdtemp(prefix=f"{digest[:16]}.", dir=complete.parent))
    try:
        for profile, target in (("servers", "servers"), ("plugins", "plugins/debezium-connector-postgres")):
            _copy(maven, pom, profile, filling / target, progress)
        filling.chmod(0o755)
        try:
            filling.rename(complete)
        except OSError:
            if not complete.is_dir():  # else another process was faster, with the same content
                raise
    finally:
        shutil.rmtree(filling, ignore_errors=True)
    return jars


def _copy(maven: Path, pom: Path, profile: str, target: Path, progress: Callable[[str], None]) -> None:
    """Has Maven copy a profile's jars to `target`, telling the number of downloads as they come."""
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    progress(f"jars of {profile}: asking Maven")
    with subprocess.Popen(
        [maven, "--batch-mode", "--file", pom, "--activate-profiles", profile, *goal],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        downloaded, complaint = 0, ""
        for line in process.stdout:
            if "Downloaded from" in line and ".jar " in line:
                downloaded += 1
                progress(f"jars of {profile}: {downloaded} downloaded")
            elif "[ERROR]" in line and not complaint:
                complaint = line.strip()
    if process.returncode or not any(target.glob("*.jar")):
        raise SetupError(f"Maven could not fetch the jars of {pom} ({complaint}); check its access to a repository")
