"""`cdc-masker policy check` on raw topics and the policy in force: what it names, and that it publishes nothing."""

from __future__ import annotations

import json

import pytest

from tests.integration.conftest import Deploy
from tests.integration.kit import CANARY

pytestmark = pytest.mark.stack

RULES = [
    {"schema": "shop", "table": "customers", "column": column, "method": method}
    for column, method in {"id": "keep", "name": "tokenize", "born": "null", "note": "redact"}.items()
]


def test_it_names_what_the_policy_in_force_does_not_decide_in_raw_topics(deploy: Deploy) -> None:
    deployment = deploy()
    assert deployment.run("policy", "check")[0] == 2  # no raw topic yet
    deployment.create(deployment.topic, partitions=2)
    code, printed, told = deployment.run("policy", "check")
    assert (code, printed) == (2, "")
    assert "no record to check" in told
    deployment.produce(20, partitions=2)

    (deployment.home / "policy.json").write_text(json.dumps({"rules": RULES}))
    code, printed, told = deployment.run("policy", "check", "--policy", str(deployment.home / "policy.json"))
    assert (code, told) == (0, "")
    assert "20 records: 20 masked, 0 control, 0 quarantined, 0 dropped" in printed

    deployment.produce(2, make=lambda _: (b"{}", f"no JSON: {CANARY}".encode()))
    code, printed, told = deployment.run("policy", "check")
    assert (code, told) == (1, "")
    assert CANARY not in printed
    assert printed.splitlines()[1:-2] == [
        f"UNDECIDED {deployment.topic}: born",
        f"UNDECIDED {deployment.topic}: note",
        f"REFUSED {deployment.topic}: not_json at value, 2 records",
    ]
    assert deployment.run("policy", "check", deployment.topic) == (code, printed, told)

    assert "no topic starts with" in deployment.run("leaks")[2]  # nothing was published
    code, _, told = deployment.run("policy", "check", f"{deployment.name}.masked.x")
    assert code == 2
    assert "is written by cdc-masker" in told
