"""Settings: where they come from, which goes before which, and that no secret is shown."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from pydantic import ValidationError

from cdc_masker.errors import SetupError
from cdc_masker.settings import PREFIX, Settings, load, source_of

SECRET = "hunter2-canary"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def put(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"{PREFIX}{name}".upper(), str(value))


def refusal(monkeypatch: pytest.MonkeyPatch, **values: object) -> str:
    put(monkeypatch, **values)
    with pytest.raises(SetupError) as caught:
        load()
    return str(caught.value)


def test_every_setting_has_a_default_and_a_description() -> None:
    load()
    assert all(field.description for field in Settings.model_fields.values())


def test_a_setting_comes_from_its_prefixed_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, batch_records=17, output_prefix="safe.")
    monkeypatch.setenv("BATCH_RECORDS", "99")
    current = load()
    assert (current.batch_records, current.output_prefix) == (17, "safe.")
    assert (source_of("batch_records"), source_of("app_id")) == ("CDC_MASKER_BATCH_RECORDS", "default")


def test_the_environment_goes_before_the_secret_file_before_dotenv_before_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert (load().database_url, source_of("database_url")) == (None, "default")
    (tmp_path / ".env").write_text(f"{PREFIX}DATABASE_URL=from-dotenv\n{PREFIX}WEB_PORT=7000\n")
    assert (_url(), source_of("database_url")) == ("from-dotenv", ".env")
    (tmp_path / "secret").write_text("from-file\n")
    put(monkeypatch, database_url_file=tmp_path / "secret")
    assert (_url(), source_of("database_url")) == ("from-file", f"{PREFIX}DATABASE_URL_FILE")
    put(monkeypatch, database_url="from-environment")
    assert (_url(), source_of("database_url")) == ("from-environment", f"{PREFIX}DATABASE_URL")
    assert (load().web_port, source_of("web_port")) == (7000, ".env")
    put(monkeypatch, web_port=7001)
    assert load().web_port == 7001
    assert load(web_port=7002).web_port == 7002


def _url() -> str:
    secret = load().database_url
    assert secret is not None
    return secret.get_secret_value()


@pytest.mark.parametrize("name", ["database_url", "kafka_password", "kafka_key_password"])
def test_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text(f" {SECRET} \r\n")
    put(monkeypatch, **{f"{name}_file": tmp_path / "secret"})
    assert getattr(load(), name).get_secret_value() == f" {SECRET} "


def test_only_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "name").write_text("someone")
    put(monkeypatch, kafka_username_file=tmp_path / "name")
    assert load().kafka_username is None
    assert source_of("kafka_username") == "default"


@pytest.mark.parametrize("content", [None, b"\xff\xfe hunter2-canary"])
def test_a_secret_file_that_cannot_be_read_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    message = refusal(monkeypatch, database_url_file=tmp_path / "secret")
    assert f"{PREFIX}DATABASE_URL_FILE" in message
    assert SECRET not in message


@pytest.mark.parametrize("name", ["database_url", "database_url_file", "web_port", "worker_name"])
def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    unset = load()
    put(monkeypatch, **{name: ""})
    assert load() == unset
    assert source_of(name.removesuffix("_file")) == "default"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("web_port", SECRET),
        ("web_port", "0"),
        ("web_port", "65536"),
        ("batch_records", "0"),
        ("batch_records", "1.5"),
        ("transaction_timeout", "0"),
        ("transaction_timeout", "-3"),
        ("kafka_brokers", SECRET),
        ("kafka_brokers", f"{SECRET}:port"),
        ("kafka_brokers", "a:65536"),
        ("kafka_brokers", "a:1, b:2"),
        ("kafka_brokers", "a:1,"),
        ("kafka_brokers", "::1:9092"),
        ("kafka_security", SECRET),
        ("kafka_sasl_mechanism", SECRET),
        ("database_ssl", SECRET),
        ("database_schema", f"{SECRET}; drop"),
        ("database_schema", "Upper"),
        ("output_prefix", f"{SECRET} "),
        ("audit_topic", "a/b"),
        ("source_topics", f"({SECRET}"),
        ("source_password", SECRET),
        ("connector_format", SECRET),
        ("kafka_replication_factor", "-2"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    message = refusal(monkeypatch, **{name: value})
    assert f"{PREFIX}{name}".upper() in message
    assert SECRET not in message
    assert "\n" not in message


@pytest.mark.parametrize("missing", ["kafka_username", "kafka_password"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_sasl_needs_a_user_and_a_password(monkeypatch: pytest.MonkeyPatch, protocol: str, missing: str) -> None:
    present = {"kafka_username": SECRET, "kafka_password": SECRET}
    del present[missing]
    message = refusal(monkeypatch, kafka_security=protocol, **present)
    assert f"{PREFIX}KAFKA_SECURITY" in message
    assert f"{PREFIX}{missing}".upper() in message
    assert SECRET not in message


def test_no_print_of_the_settings_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://worker:{SECRET}@127.0.0.1/catalog"
    put(monkeypatch, database_url=url, kafka_password=SECRET, kafka_key_password=SECRET)
    current = load()
    shown = repr(current) + str(current) + repr(current.model_dump()) + current.model_dump_json()
    assert SECRET not in shown
    assert _url() == url


def test_a_validation_error_that_nobody_caught_shows_no_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"web_port": SECRET})
    assert SECRET not in str(caught.value)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().web_port = 1


def test_own_topics_are_never_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, source_topics=".*")
    current = load()
    assert current.is_source("shop.crm.people")
    for topic in ("masked.shop.crm.people", "masked.", "cdc-masker.audit", "cdc-masker.quarantine"):
        assert current.own_topics(topic)
        assert not current.is_source(topic)


def test_each_generation_has_a_topic_and_a_group_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, app_id="app", source_topics=".*")
    first = load()
    assert (first.group, first.output_topic("shop.crm.people")) == ("app", "masked.shop.crm.people")
    put(monkeypatch, generation=2)
    second = load()
    assert (second.group, second.output_topic("shop.crm.people")) == ("app.g2", "masked.shop.crm.people.g2")
    assert not first.is_source("masked.shop.crm.people.g2")
    put(monkeypatch, generation=0)
    with pytest.raises(SetupError, match="CDC_MASKER_GENERATION"):
        load()


def test_a_pattern_must_match_the_whole_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load().is_source("shop.crm.people")
    put(monkeypatch, source_topics=r"shop\.crm\.\w+|eu\..*")
    current = load()
    assert [
        topic for topic in ("shop.crm.people", "eu.x", "xshop.crm.people", "shop.crm.people.x", "") if current.is_source(topic)
    ] == [
        "shop.crm.people",
        "eu.x",
    ]


def test_plain_brokers_need_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, kafka_brokers="a:1,[::1]:2")
    assert load().kafka_client() == {"bootstrap_servers": ["a:1", "[::1]:2"], "security_protocol": "PLAINTEXT"}


def test_sasl_and_tls_reach_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, kafka_security="SASL_SSL", kafka_username="me", kafka_password=SECRET, kafka_sasl_mechanism="PLAIN")
    arguments = load().kafka_client()
    assert (arguments["sasl_mechanism"], arguments["sasl_plain_username"]) == ("PLAIN", "me")
    assert arguments["sasl_plain_password"] == SECRET
    context = arguments["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nhunter2-canary\n-----END CERTIFICATE-----\n"])
@pytest.mark.parametrize("name", ["kafka_ca_file", "kafka_cert_file"])
def test_a_file_that_is_no_certificate_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "file.pem").write_text(content)
    put(monkeypatch, kafka_security="SSL", **{name: tmp_path / "file.pem"})
    with pytest.raises(SetupError, match=f"{PREFIX}KAFKA_CA_FILE, _CERT_FILE and _KEY_FILE") as caught:
        load().kafka_client()
    assert SECRET not in str(caught.value)
