"""Makes what the peers need, once for each content of the files that name it, in the cache of the local stack.

A directory is filled under another name and then renamed, so that one that is there is complete.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterable
from pathlib import Path

from cdc_masker.errors import SetupError
from cdc_masker.stack import programs

__all__ = ["quix_python", "streams_class_path"]

_PEERS = Path(__file__).resolve().parent / "peers"
_STREAMS = _PEERS / "kafka-streams"

Progress = Callable[[str], None]
Command = list[str | Path]


def streams_class_path(progress: Progress) -> str:
    """The class path of `MaskingStream`. Raises `SetupError`."""
    home = _made("kafka-streams", [_STREAMS / "pom.xml", _STREAMS / "MaskingStream.java"], _compile_stream, progress)
    return f"{home / 'classes'}:{home / 'program'}/*"


def quix_python(progress: Progress) -> Path:
    """A Python that has Quix Streams, in an environment of its own: it is none of the project's dependencies."""
    return _made("quix", [_PEERS / "quix.lock"], _make_environment, progress) / "bin" / "python"


def _compile_stream(home: Path, progress: Progress) -> None:
    pom = _STREAMS / "pom.xml"
    for profile in ("program", "compiler"):
        progress(f"Kafka Streams: jars of its {profile}")
        goal: Command = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={home / profile}"]
        _run([programs.maven(), "--batch-mode", "--quiet", "--file", pom, "--activate-profiles", profile, *goal])
    (compiler,) = (home / "compiler").glob("ecj-*.jar")
    class_path = ":".join(map(str, (home / "program").glob("*.jar")))
    progress("Kafka Streams: compiling the peer")
    target: Command = ["-source", "17", "-target", "17", "-classpath", class_path, "-d", home / "classes"]
    _run([programs.java(), "-jar", compiler, *target, _STREAMS / "MaskingStream.java"])


def _make_environment(home: Path, progress: Progress) -> None:
    progress("Quix Streams: installing it")
    venv.create(home, with_pip=True)
    lock: Command = ["--require-hashes", "--requirement", _PEERS / "quix.lock"]
    _run([home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *lock])


def _made(name: str, sources: Iterable[Path], make: Callable[[Path, Progress], None], progress: Progress) -> Path:
    digest = hashlib.sha256(sys.version.encode())
    for source in sources:
        digest.update(source.read_bytes())
    complete = programs.cache_directory() / "peers" / f"{name}-{digest.hexdigest()[:16]}"
    if complete.is_dir():
        return complete
    complete.parent.mkdir(parents=True, exist_ok=True)
    filling = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=complete.parent))
    try:
        make(filling, progress)
        filling.rename(complete)
    finally:
        shutil.rmtree(filling, ignore_errors=True)
    return complete


def _run(command: Command) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise SetupError(f"a peer can't be made: {said}; check the access to its registry")
