"""Settings: GREENROOM_* variables or a TOML file; read by the composition root and the cli."""

from __future__ import annotations

import os
import secrets
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from server.domain.money import Currency, Money
from server.domain.tariff import Tariff

_PACKAGE = Path(__file__).parent
Price = Annotated[Decimal, Field(gt=0, le=1_000_000, decimal_places=6)]


def default_data_dir() -> Path:
    """Return the data folder as XDG places it: ~/.local/share/greenroom."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "greenroom"


def default_models_file() -> Path:
    """Return models.yaml: the checkout's own, or the copy inside an installed package."""
    checkout = _PACKAGE.parent / "models.yaml"
    return checkout if checkout.is_file() else _PACKAGE / "models.yaml"


class Settings(BaseSettings):
    """Every setting with its default. A TOML file is named by GREENROOM_CONFIG."""

    model_config = SettingsConfigDict(
        env_prefix="GREENROOM_", extra="forbid", frozen=True, toml_file=None
    )

    data_dir: Path = Field(
        default_factory=default_data_dir, description="Database, pictures and the admin token"
    )
    models_dir: Path | None = Field(
        default=None, description="Weights; absent: the folder models inside data_dir"
    )
    models: Path = Field(
        default_factory=default_models_file, description="The registry, a models.yaml"
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0: any free")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Names this server is reached by, besides loopback and plain IP addresses; "
        "separated by commas",
    )
    admin_token: SecretStr | None = Field(
        default=None, description="The admin's key; absent: made at the first start and kept"
    )
    database_url: str | None = Field(
        default=None, description="postgresql://...; absent: SQLite inside data_dir"
    )
    blobs_url: str | None = Field(
        default=None, description="s3://bucket/prefix; absent: the folder blobs inside data_dir"
    )
    devices: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("auto",),
        description="Devices to draw on, separated by commas: auto, cpu, cuda:0, cuda:1",
    )
    device_memory_gib: float | None = Field(
        default=None, gt=0, description="Most of each device's memory to take; absent: all there is"
    )
    main_memory_gib: float | None = Field(
        default=None,
        ge=0,
        description="Main memory for models that wait beside each device; absent: half of what is "
        "free, none for a CPU",
    )
    keep_alive_minutes: float | None = Field(
        default=None,
        gt=0,
        description="Give a model's memory back so long after its last picture; absent: never",
    )
    master_key: SecretStr | None = Field(
        default=None,
        description="Encrypts the keys of connections, 32 characters or more; while it changes, "
        "the new one and the old one with a comma between; absent: made and kept in data_dir",
    )
    hub_token: SecretStr | None = Field(
        default=None, description="Hugging Face token for gated models; absent: HF_TOKEN"
    )
    max_queued_jobs: int = Field(default=1000, ge=1, description="Unfinished jobs in all")
    max_queued_jobs_per_owner: int = Field(
        default=200, ge=1, description="Unfinished jobs of one owner"
    )
    max_upload_mib: int = Field(default=32, ge=1, le=1024, description="Largest upload")
    max_adapter_mib: int = Field(default=2048, ge=1, le=8192, description="Largest adapter")
    max_upload_megapixels: int = Field(
        default=64, ge=1, le=1024, description="Most pixels of an upload, before decoding"
    )
    preview_interval_seconds: float = Field(
        default=0.5, ge=0.5, le=60, description="Shortest time between two previews of one picture"
    )
    currency: Currency = Field(default="USD", description="What prices and budgets are in")
    gpu_price_per_hour: Price | None = Field(
        default=None, description="An hour of a device, such as 1.80; absent: not priced"
    )
    credit_price: Price | None = Field(
        default=None, description="Money per credit, to show costs as credits, too; absent: not"
    )
    compare_price_per_image: Price | None = Field(
        default=None,
        description="What a picture would cost elsewhere, for what the usage report calls saved",
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console in a terminal, else JSON"
    )

    @field_validator("allowed_hosts", "devices", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("devices")
    @classmethod
    def _known_devices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            index = name.removeprefix("cuda:")
            if name not in ("auto", "cpu") and not (name.startswith("cuda:") and index.isdigit()):
                raise ValueError(f"no device '{name}'; use auto, cpu or cuda:0, cuda:1, ...")
        if not value or len(set(value)) < len(value):
            raise ValueError("name at least one device, and each once")
        return value

    @field_validator("admin_token")
    @classmethod
    def _long_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("an admin token has at least 32 characters")
        return value

    @field_validator("master_key")
    @classmethod
    def _long_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and any(len(key) < 32 for key in _keys(value)):
            raise ValueError("a master key has at least 32 characters")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order: arguments, variables, then the TOML file that GREENROOM_CONFIG names."""
        del dotenv_settings, file_secret_settings
        config = os.environ.get("GREENROOM_CONFIG")
        toml = TomlConfigSettingsSource(settings_cls, Path(config)) if config else None
        return (init_settings, env_settings, *((toml,) if toml else ()))

    @property
    def tariff(self) -> Tariff:
        """The prices of this server."""

        def money(price: Decimal | None) -> Money | None:
            return None if price is None else Money.parse(price, self.currency)

        return Tariff(
            currency=self.currency,
            device_hour=money(self.gpu_price_per_hour),
            credit=money(self.credit_price),
            remote_picture=money(self.compare_price_per_image),
        )

    @property
    def master_keys(self) -> tuple[SecretStr, ...]:
        """The master keys that were given, the one to use first; empty: kept in data_dir."""
        return () if self.master_key is None else tuple(map(SecretStr, _keys(self.master_key)))

    @property
    def weights_dir(self) -> Path:
        """Where weights lie."""
        return self.models_dir or self.data_dir / "models"

    @property
    def store_url(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'greenroom.db'}"

    @property
    def blob_url(self) -> str:
        """The blob store's URL or folder."""
        return self.blobs_url or str(self.data_dir / "blobs")


def _keys(value: SecretStr) -> list[str]:
    return [key.strip() for key in value.get_secret_value().split(",")]


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        pydantic.ValidationError: a value is wrong; it names the variable.
        FileNotFoundError: GREENROOM_CONFIG names no file.
    """
    config = os.environ.get("GREENROOM_CONFIG")
    if config and not Path(config).is_file():
        raise FileNotFoundError(f"GREENROOM_CONFIG names '{config}', which is not a file")
    return Settings()


def unknown_variables() -> tuple[str, ...]:
    """Return GREENROOM_* variables that mean nothing, most likely misspelled."""
    known = {f"GREENROOM_{name}".upper() for name in Settings.model_fields}
    # CONFIG names the file; URL and KEY are the command line's; the others are the tests'.
    known |= {f"GREENROOM_{name}" for name in ("CONFIG", "URL", "KEY", "REQUIRE_ALL")}
    return tuple(
        sorted(
            name
            for name in os.environ
            if name.startswith("GREENROOM_")
            and name not in known
            and not name.startswith("GREENROOM_TEST_")
        )
    )


def admin_token(settings: Settings) -> str:
    """Return the admin's key: the setting, or the one kept in the data folder (mode 0600)."""
    if settings.admin_token is not None:
        return settings.admin_token.get_secret_value()
    file = settings.data_dir / "admin-token"
    if file.is_file() and (kept := file.read_text().strip()):
        return kept
    token = secrets.token_urlsafe(32)
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(token + "\n")
    fresh.replace(file)  # whole or not at all, also when killed here
    return token
