"""`make chaos`: a long run. Its report is printed and written as text and JSON beside the logs, in .chaos/SEED."""

from __future__ import annotations

import argparse
import logging
import secrets
import shutil
import sys
from pathlib import Path

from tests.chaos.run import Plan, long, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    asked = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its complaints about brokers that are killed
    home = Path(".chaos").absolute() / asked.seed
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    report = run(Plan(faults=long, seconds=60 * asked.minutes), asked.seed, home, lambda told: print(told, flush=True))
    (home / "report.txt").write_text(report.text())
    (home / "report.json").write_bytes(report.json())
    print(report.text())
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
