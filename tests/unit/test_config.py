"""Settings: where they come from, and what a wrong one says."""

import re
from pathlib import Path

import pytest

from pyworker.cli.target import resolve_dsn
from pyworker.config import Settings, load_settings
from pyworker.errors import ConfigError


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*Settings.model_fields, "config"):
        monkeypatch.delenv(f"PYWORKER_{name.upper()}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_defaults() -> None:
    settings = load_settings()

    assert settings.dsn is None
    assert settings.server_suites == ("testing", "unstable")


def test_flags_beat_the_environment_beats_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("pyworker.toml"), 'server_user = "file"\nlog_format = "json"\nowners = ["a", "b"]\n')
    assert load_settings().server_user == "file"

    monkeypatch.setenv("PYWORKER_SERVER_USER", "environment")
    assert load_settings().server_user == "environment"
    assert load_settings(server_user="flag").server_user == "flag"
    assert load_settings(server_user=None).owners == ("a", "b")


@pytest.mark.parametrize(
    ("text", "owners"),
    [
        ("alice", ("alice",)),
        ("alice, bob,carol", ("alice", "bob", "carol")),
        ("my role", ("my role",)),
        (" my role ,\talice,", ("my role", "alice")),
        ('["my role", "a, b", "[c]"]', ("my role", "a, b", "[c]")),
        ("[]", ()),
        ('say "hello", é', ('say "hello"', "é")),
    ],
)
def test_owners_in_a_variable(
    monkeypatch: pytest.MonkeyPatch, text: str, owners: tuple[str, ...]
) -> None:
    """Commas separate them; names with a space in them are names, and those with a comma stand in a
    JSON array.
    """
    monkeypatch.setenv("PYWORKER_OWNERS", text)

    assert load_settings().owners == owners


@pytest.mark.parametrize("text", ['["alice"', "[alice]", "[1]", '[["a"]]'])
def test_a_broken_list_of_owners_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PYWORKER_OWNERS", text)

    with pytest.raises(ConfigError, match="PYWORKER_OWNERS"):
        load_settings()


def test_suites_in_a_variable_are_separated_by_commas_or_spaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYWORKER_SERVER_SUITES", "trixie, sid experimental")

    assert load_settings().server_suites == ("trixie", "sid", "experimental")


def test_the_file_is_looked_for_in_three_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / "xdg" / "pyworker" / "config.toml", 'server_user = "xdg"')
    assert load_settings().server_user == "xdg"
    write(tmp_path / "pyworker.toml", 'server_user = "here"')
    assert load_settings().server_user == "here"
    write(tmp_path / "named.toml", 'server_user = "named"')
    monkeypatch.setenv("PYWORKER_CONFIG", str(tmp_path / "named.toml"))
    assert load_settings().server_user == "named"


def test_a_bad_value_names_setting_and_source(monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("pyworker.toml"), 'log_format = "xml"\n')
    with pytest.raises(ConfigError, match=r'"log_format" is wrong[^$]*pyworker\.toml'):
        load_settings()
    monkeypatch.setenv("PYWORKER_LOG_FORMAT", "yaml")
    with pytest.raises(ConfigError, match="PYWORKER_LOG_FORMAT"):
        load_settings()
    with pytest.raises(ConfigError, match="--log-format"):
        load_settings(log_format="csv")


def test_a_setting_knows_the_place_where_it_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused much later, when a database answers, is corrected where it was given."""
    assert load_settings().source("owners") == "--owner"
    write(Path("pyworker.toml"), 'owners = ["a"]\n')
    assert load_settings().source("owners") == 'owners in "pyworker.toml"'
    monkeypatch.setenv("PYWORKER_OWNERS", "b")
    assert load_settings().source("owners") == "PYWORKER_OWNERS"
    assert load_settings(owners=("c",)).source("owners") == "--owner"


def test_a_hint_is_made_of_whole_sentences() -> None:
    """A description is no sentence: it is not glued to one."""
    for name in Settings.model_fields:
        try:
            load_settings(**{name: ["bad"] if name not in ("owners", "server_suites") else 5})
        except ConfigError as error:
            hint = error.hint or ""
            assert f"What it is: {Settings.model_fields[name].description}." in hint
            assert not re.search(r"[.?!] [a-z]", hint), hint


def test_an_unknown_setting_in_the_file_is_an_error() -> None:
    write(Path("pyworker.toml"), 'log_fromat = "json"\n')

    with pytest.raises(ConfigError, match="does not exist") as failure:
        load_settings()
    assert "log_format" in str(failure.value)
    assert failure.value.exit_code == 2


def test_a_broken_or_missing_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("pyworker.toml"), "= nonsense")
    with pytest.raises(ConfigError, match="cannot read"):
        load_settings()
    monkeypatch.setenv("PYWORKER_CONFIG", "/no/such.toml")
    with pytest.raises(ConfigError, match="does not exist"):
        load_settings()


def test_a_password_never_shows() -> None:
    settings = load_settings(dsn="postgresql://u:s3cret@h/d")

    assert "s3cret" not in repr(settings)
    assert resolve_dsn(settings) == "postgresql://u:s3cret@h/d"


def test_without_dsn_and_server_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no database is configured") as failure:
        resolve_dsn(load_settings(server_dir=tmp_path / "none"))
    assert "pyworker server start" in str(failure.value)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().dsn = None  # type: ignore[misc]
