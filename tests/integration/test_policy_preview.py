"""`cdc-masker policy preview` on raw topics, and `policy test` on a version of the catalog."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Deploy
from tests.integration.kit import CANARY

pytestmark = pytest.mark.stack

CASE = """\
- case: somebody
  table: shop.customers
  row: {id: 7, name: Somebody}
  expect: {id: kept, name: redacted}
"""


def test_versions_of_the_catalog_are_compared_on_raw_topics_and_tested(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, partitions=2)
    code, printed, told = deployment.run("policy", "preview", "0", "1")
    assert (code, printed) == (2, "")
    assert "no record to look at" in told

    deployment.produce(20, partitions=2)
    deployment.say('op.mask_column("shop.customers", "name", method="fixed", value="gone")')
    code, printed, told = deployment.run("policy", "preview", "1", "2")
    assert (code, told) == (0, "")
    assert printed.splitlines()[1].split() == [deployment.topic, "name", "20", "null", '"gone"']
    code, printed, told = deployment.run("policy", "preview", "0", "1", deployment.topic, "--limit", "5")
    assert (code, told) == (0, "")
    assert printed.splitlines()[1].split()[:3] == [deployment.topic, "id", "5"]
    assert printed.splitlines()[1].endswith("(kept)")  # a token before, as it is in the key
    assert CANARY not in printed

    (deployment.home / "case.yaml").write_text(CASE)
    assert deployment.run("policy", "test", "case.yaml", "--policy", "1")[0] == 0
    code, printed, told = deployment.run("policy", "test", "case.yaml", "--policy", "2")
    assert (code, told) == (1, "")
    assert 'name: expected redacted, but it is "gone"' in printed
