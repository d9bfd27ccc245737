"""Every setting there is: one frozen object, read once at the start.

A setting `x` comes from, in this order: the environment variable `CDC_MASKER_X`; for secrets, the file that
`CDC_MASKER_X_FILE` names; `.env` in the working directory; the default. Secrets are `SecretStr`, so no `repr` shows them.
"""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from cdc_masker.errors import SetupError
from cdc_masker.events import output_topic

__all__ = ["PREFIX", "Settings", "load"]

PREFIX = "CDC_MASKER_"

_BROKER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")  # an IPv6 address stands in brackets
_TOPIC = r"^[A-Za-z0-9._-]*$"
TopicName = Annotated[str, Field(pattern=_TOPIC, max_length=200)]
Identifier = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$", max_length=63)]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """All of them, grouped as people look for them. Each has one meaning and one name."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    # What to mask
    source_topics: str = Field("", description="Regular expression; a topic whose whole name it matches is masked.")
    output_prefix: TopicName = Field("masked.", min_length=1, description="Masked topics: this, then the source topic.")
    generation: int = Field(1, ge=1, description="Which masked copy to make; those past the first end in .g and this number.")
    audit_topic: TopicName = Field("cdc-masker.audit", min_length=1, description="Topic of the audit entries.")
    quarantine_topic: TopicName = Field("cdc-masker.quarantine", min_length=1, description="Topic of quarantine notes.")
    keys_file: Path | None = Field(None, description="Key file, as `cdc-masker keys new` or `keys derive` writes it.")
    keys: SecretStr | None = Field(None, description="In place of a key file: what would stand in it.")
    key_command: str | None = Field(None, description="In place of a key file: a command that prints what would stand in it.")
    methods: str = Field(
        "", description="Methods of other distributions that rules may name: names of entry points, with commas between."
    )

    # Kafka
    kafka_brokers: str = Field("127.0.0.1:9092", min_length=1, description="host:port of brokers, with commas between.")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Security protocol of the brokers' listener."
    )
    kafka_ca_file: Path | None = Field(None, description="PEM of the authority that signed the brokers; the system's if unset.")
    kafka_cert_file: Path | None = Field(None, description="PEM of the client's certificate.")
    kafka_key_file: Path | None = Field(None, description="PEM of the client's private key.")
    kafka_key_password: SecretStr | None = Field(None, description="Password of that private key.")
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="With a SASL protocol."
    )
    kafka_username: str | None = Field(None, description="SASL user.")
    kafka_password: SecretStr | None = Field(None, description="SASL password.")
    kafka_replication_factor: int = Field(
        -1, ge=-1, description="Of topics that cdc-masker creates; -1 is the cluster's default."
    )

    # Catalog (PostgreSQL)
    database_url: SecretStr | None = Field(
        None, description="Catalog, as the worker's role: postgresql://user:password@host:port/database."
    )
    database_ssl: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "prefer", description="TLS to PostgreSQL, with libpq's meaning of the words."
    )
    database_ca_file: Path | None = Field(None, description="PEM of the authority that signed PostgreSQL's certificate.")
    policy_key_file: Path | None = Field(
        None, description="PEM of the public key that policy versions must be signed with; unset: none has to be."
    )
    database_schema: Identifier = Field("cdc_masker", description="Schema of the catalog's tables.")

    # Worker
    app_id: TopicName = Field("cdc-masker", min_length=1, description="Consumer group and start of transactional ids.")
    worker_name: str | None = Field(None, description="Name in audit entries; host and process id if unset.")
    log_format: Literal["text", "json"] = Field("text", description="The worker's log: text, or one JSON object a line.")
    web_host: str = Field("127.0.0.1", description="Address of /metrics, /live and /ready.")
    web_port: int = Field(6066, ge=1, le=65535, description="Port of /metrics, /live and /ready.")
    core: Literal["auto", "native", "python"] = Field(
        "auto",
        description="What masks: the compiled core (native) or Python's; auto takes the compiled one where it is installed.",
    )
    batch_records: int = Field(5000, ge=1, le=100_000, description="Most records in one batch, which is one transaction.")
    fetch_bytes: int = Field(
        4 << 20, ge=1 << 16, description="Bytes of records at which a batch ends, and most of one fetch from one partition."
    )
    buffer_bytes: int = Field(
        64 << 20, ge=1 << 20, description="Most bytes of raw records that a worker holds in all its batches."
    )
    guard_every: int = Field(1, ge=1, description="The egress guard looks at every n-th offset again; 1 is all of them.")
    guard_limit: float = Field(
        0.01, ge=0, le=1, description="Share of records with findings of the egress guard past which the worker stops."
    )
    transaction_timeout: Seconds = Field(60.0, description="Seconds; a transaction that takes longer ends the worker.")
    session_timeout: Seconds = Field(10.0, description="Seconds until the group gives up a worker that went silent.")
    topic_refresh: Seconds = Field(10.0, description="Seconds between looks for new source topics and partitions.")
    policy_refresh: Seconds = Field(5.0, description="Seconds between looks for a new policy version.")
    policy_stale_limit: Seconds = Field(
        900.0, description="Seconds without word from the catalog after which masking under the version in use pauses."
    )
    subject_cache: int = Field(100_000, ge=1, description="Most subjects whose keys are kept between batches.")
    subject_lease: Seconds = Field(
        30.0, description="Seconds without word from the catalog after which keys of subjects are not used."
    )
    audit_lag_limit: int = Field(10_000, ge=1, description="Audit entries not yet in PostgreSQL past which masking pauses.")
    startup_timeout: Seconds = Field(30.0, description="Seconds in which the worker must be able to start, else it ends.")

    # Source connector (Kafka Connect)
    connect_url: str = Field("http://127.0.0.1:8083", description="REST address of Kafka Connect.")
    connector_name: TopicName = Field("shop", min_length=1, description="Name of the connector in Kafka Connect.")
    connector_format: Literal["json", "json-schema"] = Field(
        "json", description="JSON without, or with the schema in each record."
    )
    source_server: TopicName = Field("shop", min_length=1, description="Debezium's topic.prefix: policies call it server.")
    source_host: str = Field("127.0.0.1", description="Source database, as Kafka Connect sees it.")
    source_port: int = Field(5432, ge=1, le=65535, description="Its port.")
    source_database: str = Field("shop", description="Its name.")
    source_user: str = Field("debezium", description="Role with REPLICATION that Debezium uses.")
    source_password: str = Field(
        "${env:SOURCE_PASSWORD}",
        description="A reference that a Connect config provider resolves, never the password itself.",
    )
    source_tables: str = Field("", description="Tables to capture, schema.table with commas between; empty is all.")
    source_slot: Identifier = Field("cdc_masker", description="Name of the replication slot.")
    source_publication: Identifier = Field("cdc_masker", description="Name of the publication.")
    source_url: SecretStr | None = Field(
        None,
        description="The same database for `cdc-masker policy draft`, `check` and `snapshot`, as a role that may read, and for "
        "the last insert into the signal table: postgresql://user:password@host:port/database?sslmode=verify-full.",
    )
    signal_table: str = Field(
        "",
        pattern=r"^([^\s.,\"]+\.[^\s,\"]+)?$",
        description="Debezium's signal table, schema.table, by which incremental snapshots are asked for; empty is none.",
    )
    signal_topic: TopicName = Field("", description="In place of a signal table: the signal topic; empty is none.")
    notification_topic: TopicName = Field(
        "debezium.notifications", min_length=1, description="Where Debezium tells of snapshots, where signals can be sent."
    )

    @field_validator("kafka_brokers")
    @classmethod
    def _are_addresses(cls, brokers: str) -> str:
        for broker in brokers.split(","):
            address = _BROKER.fullmatch(broker)
            if address is None or not 0 < int(address[1]) < 1 << 16:
                raise ValueError("must be host:port, with commas between several and without blanks")
        return brokers

    @field_validator("source_topics")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error:
            raise ValueError("is not a regular expression") from None
        return pattern

    @field_validator("source_password")
    @classmethod
    def _is_reference(cls, reference: str) -> str:
        if not re.fullmatch(r"\$\{[a-z]+:.+\}", reference):
            raise ValueError("must be a reference such as ${env:NAME} or ${file:/path:key}, not the password")
        return reference

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> Self:
        if self.kafka_security.startswith("SASL") and not (self.kafka_username and self.kafka_password):
            raise ValueError(
                f"{PREFIX}KAFKA_SECURITY={self.kafka_security} needs {PREFIX}KAFKA_USERNAME and {PREFIX}KAFKA_PASSWORD"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, SecretFiles(settings_cls), dotenv_settings)

    def own_topics(self, topic: str) -> bool:
        """Whether cdc-masker itself writes that topic; such a topic is never a source."""
        return topic.startswith(self.output_prefix) or topic in (self.audit_topic, self.quarantine_topic)

    def output_topic(self, source: str) -> str:
        """The topic that this generation's masked copy of `source` goes to."""
        return output_topic(self.output_prefix, source, self.generation)

    @property
    def generations_topic(self) -> str:
        """The topic that tells consumers where masked copies end, and where others go on."""
        return f"{self.output_prefix}generations"

    @property
    def group(self) -> str:
        """The consumer group that masks this generation; Kafka keeps its offsets apart from those of the others."""
        return self.app_id if self.generation == 1 else f"{self.app_id}.g{self.generation}"

    def is_source(self, topic: str) -> bool:
        """Whether `source_topics` names this topic."""
        return bool(re.fullmatch(self.source_topics, topic)) and not self.own_topics(topic)

    def kafka_client(self) -> dict[str, Any]:
        """Keyword arguments that every aiokafka client takes to reach the brokers."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.kafka_brokers.split(","),
            "security_protocol": self.kafka_security,
        }
        if self.kafka_security.endswith("SSL"):
            arguments["ssl_context"] = self._kafka_tls()
        if self.kafka_security.startswith("SASL"):
            assert self.kafka_username and self.kafka_password  # _sasl_is_whole
            arguments |= {
                "sasl_mechanism": self.kafka_sasl_mechanism,
                "sasl_plain_username": self.kafka_username,
                "sasl_plain_password": self.kafka_password.get_secret_value(),
            }
        return arguments

    def _kafka_tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.kafka_ca_file)
            if self.kafka_cert_file:
                password = self.kafka_key_password.get_secret_value() if self.kafka_key_password else None
                context.load_cert_chain(self.kafka_cert_file, self.kafka_key_file, password)
        except (OSError, ssl.SSLError):
            raise SetupError(
                f"the files of {PREFIX}KAFKA_CA_FILE, _CERT_FILE and _KEY_FILE can't be used; check that they are PEM files"
            ) from None
        return context


class SecretFiles(PydanticBaseSettingsSource):
    """`CDC_MASKER_X_FILE` for each secret `x`: the file's content without the line end."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        variable = f"{PREFIX}{field_name}_FILE".upper()
        path = os.environ.get(variable)
        if not path or not _may_stand_in_a_file(field_name):
            return None, field_name, False
        try:
            return Path(path).read_text().rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError):
            raise SetupError(f"the file that {variable} names can't be read; check its path and permissions") from None

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def _may_stand_in_a_file(name: str) -> bool:
    """Whether it is a secret, unless the name of its file is a setting of its own, as that of `keys` is."""
    fields = Settings.model_fields
    return "SecretStr" in str(fields[name].annotation) and f"{name}_file" not in fields


def load(**overrides: Any) -> Settings:
    """Reads the settings. Raises `SetupError` naming the variable that is wrong, without what stood in it."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = "; ".join(
            " ".join([*(f"{PREFIX}{part}".upper() for part in problem["loc"]), problem["msg"].removeprefix("Value error, ")])
            for problem in error.errors(include_input=False, include_context=False, include_url=False)
        )
        raise SetupError(f"settings: {problems}") from None


def source_of(name: str) -> str:
    """Where the value of a setting comes from: the name of the variable or file, or `default`."""
    variable = f"{PREFIX}{name}".upper()
    environment = {key.upper() for key, value in os.environ.items() if value}
    if variable in environment:
        return variable
    if f"{variable}_FILE" in environment and _may_stand_in_a_file(name):
        return f"{variable}_FILE"
    dotenv = DotEnvSettingsSource(Settings, env_file=".env", env_prefix=PREFIX)
    return ".env" if name in dotenv() else "default"
