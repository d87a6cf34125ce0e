"""Profiles: the services that a user has signed in to, kept in a file that only the user can read."""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from pathlib import Path

import click
import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

FOLDER_VARIABLE = "EXOSPHERE_CONFIG_HOME"
FILE_NAME = "config.toml"
DEFAULT_NAME = "default"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Profile(BaseModel):
    """A service with its key.

    Attributes:
        uri: The service.
        key: The API key.
        namespace: The namespace that commands use unless they name one; None if each has to.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    uri: str
    key: str = Field(repr=False)
    namespace: str | None = None


class Profiles(BaseModel):
    """The content of the file.

    Attributes:
        current: The name of the profile that commands use unless they name one; None without a profile.
        by_name: All profiles.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    current: str | None = None
    by_name: dict[str, Profile] = Field(default_factory=dict[str, Profile], alias="profiles")

    def with_profile(self, name: str, profile: Profile) -> Profiles:
        """Return these profiles and another one, which is the current one."""
        return Profiles(current=name, profiles={**self.by_name, name: profile})

    def without(self, name: str) -> Profiles:
        """Return these profiles without one."""
        rest = {other: each for other, each in self.by_name.items() if other != name}
        return Profiles(current=None if self.current == name else self.current, profiles=rest)

    def named(self, name: str) -> Profile:
        """Return a profile.

        Raises:
            click.UsageError: There is none of this name.
        """
        if name not in self.by_name:
            known = f"the profiles are {', '.join(sorted(self.by_name))}" if self.by_name else "there are no profiles"
            raise click.UsageError(f"there is no profile {name!r}: {known}; `exospherehost login` adds one")
        return self.by_name[name]


def profiles_path() -> Path:
    """Return the path of the file, in the user's configuration folder."""
    folder = os.environ.get(FOLDER_VARIABLE) or click.get_app_dir("exospherehost")
    return Path(folder) / FILE_NAME


def checked_name(name: str) -> str:
    """Return a profile's name.

    Raises:
        click.UsageError: It is malformed.
    """
    if not _NAME.fullmatch(name):
        raise click.UsageError(
            f"{name!r} is not a profile's name: use up to 64 letters, digits, dashes and underscores"
        )
    return name


def read_profiles() -> Profiles:
    """Read the file; without one there are no profiles.

    Raises:
        click.ClickException: The file cannot be read, or others can read it.
    """
    path = profiles_path()
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & 0o077:
                raise click.ClickException(f"other users can read the keys in {path}: run `chmod 600 {path}`")
            profiles = Profiles.model_validate(tomllib.load(file))
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        raise click.ClickException(f"cannot read the profiles in {path}: {error.strerror}") from error
    except ValueError as error:
        # TOML, UTF-8 and the models raise a ValueError each, and those of the parsers quote a line with its key.
        what = f": {_places(error)}" if isinstance(error, ValidationError) else ""
        raise click.ClickException(
            f"the profiles in {path} are malformed{what}: correct or delete the file, and run `exospherehost login`"
        ) from None
    return profiles if profiles.current in profiles.by_name else profiles.model_copy(update={"current": None})


def write_profiles(profiles: Profiles) -> None:
    """Replace the file, readable by its user alone.

    Raises:
        click.ClickException: It cannot be written.
    """
    path = profiles_path()
    content = profiles.model_dump(by_alias=True, exclude_none=True)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A temporary file has the mode 0600, and a reader sees either the old file or the new one.
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{FILE_NAME}-", delete=False) as file:
            temporary = Path(file.name)
            try:
                tomli_w.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise click.ClickException(f"cannot write the profiles to {path}: {error.strerror}") from error


def _places(error: ValidationError) -> str:
    return ", ".join(".".join(map(str, issue["loc"])) for issue in error.errors(include_input=False, include_url=False))
