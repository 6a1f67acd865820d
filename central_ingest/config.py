"""The daemon's configuration: one TOML file, every key with its default, nothing unknown accepted.

Environment variables `GUICANG_CENTRE_…` (nested with `__`) override the file, so that a secret need not stand
in it. A mistake is one sentence naming the key, and exit code 78.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from protocol.errors import Permanent

from .ledger.address import Address, PostgresAddress

DEFAULT_PATH = Path("/etc/guicang/central.toml")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerSettings(Section):
    """How the daemon reaches the broker, and what it tells agents (`public_url`)."""

    url: str = "mqtt://127.0.0.1:1883"
    public_url: str = ""
    """The broker's address as hospitals see it; `url` where empty. Goes into every token."""
    username: str = ""
    password: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    listen: str = "127.0.0.1:1883"
    """Where the embedded broker of `run --embedded-broker` listens."""


class JournalSettings(Section):
    segment_bytes_max: Annotated[int, Field(ge=1 << 20)] = 256 << 20
    tick_seconds: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Envelopes that arrive within one tick share one write and one sync."""
    keep_days: Annotated[float, Field(ge=0)] = 30
    """How long what has landed stays in segments; then it is archived."""
    evidence_days: Annotated[float, Field(ge=0)] | None = None
    """How long archives stay after that; None: for ever."""


class LandingSettings(Section):
    hot_seconds: Annotated[float, Field(gt=0)] = 0.25
    quiet_seconds: Annotated[float, Field(gt=0)] = 2.0
    pending_bytes_max: Annotated[int, Field(ge=1 << 20)] = 128 << 20
    """Decoded rows that wait for their commit, all tables together."""
    checkpoint_commits: Annotated[int, Field(ge=10)] = 100
    """After this many commits of a table maintenance visits it, and makes a checkpoint."""
    quarantine_bytes_max: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    """Envelopes of one parked table or stream; beyond it they are dropped, as by `quarantine drop`."""


class LedgerSettings(Section):
    url: Annotated[str, Field(pattern="^(postgresql://.*)?$", repr=False)] = ""
    """Of a PostgreSQL database of its own; empty: a SQLite file in the data directory."""
    password: Annotated[str, Field(repr=False)] = ""
    password_file: Path | None = None


class LakeSettings(Section):
    """Where the tables and the large values lie: below `data_dir`, or in a bucket that is there already."""

    url: Annotated[str, Field(pattern=r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?)?$")] = ""
    """`s3://bucket/prefix`; empty: on the local disk."""
    endpoint: Annotated[str, Field(pattern=r"^(https?://[^/]+/?)?$")] = ""
    """The object store's address; empty: AWS's own in `region`."""
    region: str = "us-east-1"
    path_style: bool = True
    """The bucket's name in the path of a request, not in its host name."""
    credentials_file: Path | None = None
    """As AWS's tools read it; without it AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment count."""
    allow_http: bool = False
    connect_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    request_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """The longest that one request may take, its answer included."""
    retry_seconds: Annotated[float, Field(ge=0, le=600)] = 15.0
    """How long a request that failed is tried again before landing gives up for now."""

    @model_validator(mode="after")
    def _is_encrypted_or_allowed(self) -> LakeSettings:
        if self.endpoint.startswith("http://") and not self.allow_http:
            raise ValueError("an http:// endpoint needs allow_http = true")
        return self


class MaintenanceSettings(Section):
    reader_hours: Annotated[float, Field(ge=0.1, le=720)] = 3.0
    """Who opened a table may go on reading it as it was for this long: replaced files and old log entries stay."""
    share_max: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Of one core's time, for joining files, checkpoints and clean-up."""
    scrub_mib_per_second: Annotated[float, Field(ge=0, le=1_000)] = 4.0
    """Read again, to see whether it still is what was written; 0: nothing is."""
    scrub_days: Annotated[float, Field(gt=0, le=3_650)] = 30.0
    """From the beginning of one round over everything to that of the next."""


class CurrentSettings(Section):
    """The materialised `current` for readers of the lake that are not ours."""

    enabled: bool = True
    cadence_seconds: Annotated[float, Field(ge=1)] = 60.0
    """A table with changes is materialised this often."""
    cpu_share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Of one core's time, for all tables together; half of it for one. What that does not allow makes them stale."""


class CreditSettings(Section):
    budget_bytes: Annotated[int, Field(ge=1 << 20)] = 256 << 20
    """Envelopes that all agents together may have under way."""
    landing_backlog_bytes_max: Annotated[int, Field(ge=1 << 20)] = 4 << 30
    """Journaled but not landed: beyond it no new credit is given."""


class Config(BaseSettings):
    """The whole file."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="GUICANG_CENTRE_", env_nested_delimiter="__"
    )

    config_version: Annotated[int, Field(ge=1, le=1)]
    data_dir: Path = Path("/var/lib/guicang-centre")
    broker: BrokerSettings = BrokerSettings()
    journal: JournalSettings = JournalSettings()
    lake: LakeSettings = LakeSettings()
    landing: LandingSettings = LandingSettings()
    ledger: LedgerSettings = LedgerSettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    current: CurrentSettings = CurrentSettings()
    credit: CreditSettings = CreditSettings()
    invite_days: Annotated[int, Field(ge=1, le=365)] = 7
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @property
    def keys_dir(self) -> Path:
        return self.data_dir / "keys"

    @property
    def journal_dir(self) -> Path:
        return self.data_dir / "journal"

    @property
    def lake_dir(self) -> Path:
        return self.data_dir / "lake"

    @property
    def quarantine_dir(self) -> Path:
        return self.data_dir / "quarantine"

    @property
    def refused_dir(self) -> Path:
        return self.data_dir / "refused"

    @property
    def scratch_dir(self) -> Path:
        """Work that is thrown away at the next start."""
        return self.data_dir / "scratch"

    @property
    def files_dir(self) -> Path:
        return self.data_dir / "files"

    @property
    def ledger_address(self) -> Address:
        """Raises Permanent GC-1004 where the file with its password cannot be read."""
        said = self.ledger
        if not said.url:
            return self.data_dir / "ledger.sqlite"
        return PostgresAddress(said.url, _secret("ledger.password", said.password, said.password_file))

    @property
    def roster_dirs(self) -> tuple[Path, Path]:
        """Where the copies of the roster lie, apart from each other and from the ledger."""
        return self.lake_dir / "_system", self.journal_dir

    @property
    def status_path(self) -> Path:
        return self.data_dir / "status.json"


def _secret(key: str, said: str, file: Path | None) -> str:
    if file is None:
        return said
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise Permanent("GC-1004", key=key, origin=str(file)) from None


def load(path: Path) -> Config:
    """Read and check the file. Raises Permanent GC-1001/1002/1003."""
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise Permanent("GC-1001", path=str(path), command="central-ingest") from None
    except OSError as e:
        raise Permanent("GC-1003", path=str(path), key="--config", problem=str(e.strerror).lower()) from None
    except UnicodeDecodeError:
        raise Permanent("GC-1002", path=str(path), line="?") from None
    except tomllib.TOMLDecodeError as e:
        line = str(e).rpartition("line ")[2].partition(",")[0]
        raise Permanent("GC-1002", path=str(path), line=line if line.isdigit() else "?") from None
    try:
        return Config(**document)
    except ValidationError as e:
        first = e.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise Permanent("GC-1003", path=str(path), key=key, problem=first["msg"].lower()) from None
    except SettingsError as e:  # a variable of the environment that should hold a whole section
        key = str(e).partition('"')[2].partition('"')[0]
        raise Permanent("GC-1003", path="the environment", key=key, problem="not JSON") from None


SAMPLE = """\
# Guicang, central ingest. Every key with its default; a line with # in front is that default.
# 归仓中心端配置。每一项均列出默认值；以 # 开头的行即为默认值。
config_version = 1

# Journal, lake, ledger, keys and files live here. 日志、数据湖、台账、密钥与文件的存放目录。
data_dir = {data_dir}

# Days after which an unused invitation expires. 邀请令牌的有效天数。
# invite_days = 7
# log_level = "INFO"

[broker]
# url = "mqtt://127.0.0.1:1883"      # mqtts:// for TLS
# public_url = ""                    # the address that hospitals use, if it differs. 医院侧访问的地址。
# username = ""
# password = ""                      # or password_file, or GUICANG_CENTRE_BROKER__PASSWORD
# password_file =
# ca_file =
# cert_file =
# key_file =
# listen = "127.0.0.1:1883"          # for `run --embedded-broker`. 内置消息代理的监听地址。

[journal]
# segment_bytes_max = 268435456
# tick_seconds = 0.01
# keep_days = 30                     # then what has landed is archived. 已入库的日志保留天数，此后归档。
# How many days archives stay after that; not set: for ever. 归档此后的保留天数；不设为永久。
# evidence_days =

[lake]
# url = ""                           # "s3://bucket/prefix"; empty: data_dir. 对象存储；留空即存于 data_dir。
# endpoint = ""                      # the store's address; empty: AWS. 对象存储地址。
# region = "us-east-1"
# path_style = true                  # false: the bucket is named in the host. 存储桶名是否写在路径中。
# Without a file AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY count. 凭据文件；未设置时使用上述环境变量。
# credentials_file =
# allow_http = false
# connect_seconds = 5.0
# request_seconds = 30.0
# retry_seconds = 15.0

[landing]
# hot_seconds = 0.25                 # busy tables commit this often. 繁忙表的提交间隔。
# quiet_seconds = 2.0                # quiet ones wait this long. 空闲表的提交间隔。
# pending_bytes_max = 134217728
# checkpoint_commits = 100
# quarantine_bytes_max = 1073741824  # of one parked table; beyond it they are dropped. 单表隔离区上限，超出即丢弃。

[ledger]
# url = ""                           # postgresql://guicang@host/guicang; empty: SQLite. 为空则用 SQLite。
# password = ""                      # or password_file, or GUICANG_CENTRE_LEDGER__PASSWORD
# password_file =

[maintenance]
# reader_hours = 3.0                 # who opened a table may read it as it was this long. 读者可继续读取旧版本的时长。
# share_max = 0.25                   # of one core. 维护最多占用单核的比例。
# scrub_mib_per_second = 4.0         # files read again, to find rot; 0: off. 巡检读取速率；0 为关闭。
# scrub_days = 30.0                  # from one round to the next. 每轮巡检的间隔天数。

[current]
# enabled = true                     # current/ for other readers of the lake. 供外部引擎读取的 current 表。
# cadence_seconds = 60               # at most this stale, where cpu_share allows. 物化间隔。
# cpu_share = 0.25                   # of one core's time. 占用单核时间的比例。

[credit]
# budget_bytes = 268435456
# landing_backlog_bytes_max = 4294967296
"""
