"""Settings: each layer over every lower one, at call time."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kling_nb import front_end
from kling_nb.api import configure, local_notice
from kling_nb.errors import MissingKey, UsageError
from kling_nb.fal.auth import Key
from kling_nb.notebook import tables
from kling_nb.notebook.line import run_line
from kling_nb.session import Session
from kling_nb.settings import ENVIRONMENT, NAMES, Settings, current, dotenv_note, from_code, resolve

KEY_VARIABLES = ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET")
ACCOUNTS = [f"studio-{number}" for number in range(5)]

VALUES: dict[str, list[Any]] = {
    "backend": ["fal", "local", "fal", "local", "fal"],
    "endpoint": ["v1-pro", "v3-pro", "tts", "v2-master", "try-on"],
    "queue_url": [f"https://queue-{number}.example" for number in range(5)],
    "rest_url": [f"https://rest-{number}.example" for number in range(5)],
    "api_url": [f"https://api-{number}.example" for number in range(5)],
    "schema_url": [f"https://schema-{number}.example" for number in range(5)],
    "proxy": [f"http://proxy-{number}.example:1" for number in range(5)],
    "ca_bundle": [f"/tmp/ca-{number}.pem" for number in range(5)],
    "account": ACCOUNTS,
    "home": [f"/tmp/home-{number}" for number in range(5)],
    "media": [f"/tmp/media-{number}" for number in range(5)],
    "timeout": [1, 2.5, 3, 4, 5],
    "local_speed": [1, 2, 3, 4, float("inf")],
    "inline_limit": [1, 2, 3, 4, 5],
    "budget": [1.5, 0.0, 3.5, 4.5, 5.5],
    "daily_budget": [1.5, 0.0, 3.5, 4.5, 5.5],
    "max_cost": [1.5, 0.0, float("inf"), 4.5, 5.5],
    "frozen": [True, False, True, False, True],
    "reuse_elsewhere": [True, False, True, False, True],
    "library_optional": [True, False, True, False, True],
    "library": [f"s3://studio-{number}/kling" for number in range(5)],
}


def value_of(settings: Settings, name: str) -> Any:
    if name.endswith("_url"):
        return getattr(settings.hosts, name.removesuffix("_url"))
    return getattr(settings.hosts.route if name in {"proxy", "ca_bundle"} else settings, name)


def as_set(name: str, value: Any) -> Any:
    return Path(value).resolve() if name in {"home", "media"} else value


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*ENVIRONMENT.values(), *KEY_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    for name in ACCOUNTS:
        monkeypatch.setenv(f"FAL_KEY_{name.upper().replace('-', '_')}", f"{name}:secret")
    yield
    configure(**dict.fromkeys(NAMES))
    front_end.config = dict


def test_every_setting_has_values_here() -> None:
    assert {*VALUES, "credentials", "dotenv", "prices"} == set(NAMES)


@pytest.mark.parametrize("name", VALUES)
def test_each_layer_counts_more_than_every_lower_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call, `Session(…)`, `configure()`, `%config`, environment: set from below, taken away from the top."""
    call: dict[str, Any] = {}
    own: dict[str, Any] = {}
    config: dict[str, Any] = {}
    front_end.config = lambda: config
    default = value_of(current(call, own), name)

    def put(layer: int, value: Any) -> None:
        if layer == 4 and value is None:
            monkeypatch.delenv(ENVIRONMENT[name])
        elif layer == 4:
            monkeypatch.setenv(ENVIRONMENT[name], str(value))
        elif layer == 2:
            configure(**{name: value})
        else:
            (call, own, {}, config)[layer][name] = value

    for layer in (4, 3, 2, 1, 0):
        put(layer, VALUES[name][layer])
        assert value_of(current(call, own), name) == as_set(name, VALUES[name][layer])
    for layer in (0, 1, 2, 3):
        put(layer, None)  # None is "not set here"
        assert value_of(current(call, own), name) == as_set(name, VALUES[name][layer + 1])
    put(4, None)
    assert value_of(current(call, own), name) == default


def test_a_call_of_a_session_over_the_session(tmp_path: Path) -> None:
    session = Session(backend="local", media=tmp_path / "a")
    assert session.settings().backend == "local"
    assert session.settings(backend="fal").backend == "fal"
    assert session.settings(backend=None).backend == "local"


def test_credentials_of_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "env:1")
    assert key_of(current()) == "env:1"
    configure(credentials="configured:2")
    assert key_of(current()) == "configured:2"
    assert key_of(current({}, {"credentials": "session:3"})) == "session:3"
    assert key_of(current({"credentials": lambda: "call:4"}, {"credentials": "session:3"})) == "call:4"
    configure(credentials=None)
    assert key_of(current()) == "env:1"


def key_of(settings: Settings) -> str | None:
    return settings.key.value if settings.key else None


@pytest.mark.parametrize(
    ("environ", "backend", "chosen"),
    [
        ({}, "local", False),
        ({"FAL_KEY": "a:1"}, "fal", False),
        ({"FAL_KEY": " "}, "local", False),
        ({"KLING_NB_BACKEND": "auto"}, "local", False),
        ({"KLING_NB_BACKEND": "auto", "FAL_KEY": "a:1"}, "fal", False),
        ({"KLING_NB_BACKEND": "fal"}, "fal", True),
        ({"KLING_NB_BACKEND": "local", "FAL_KEY": "a:1"}, "local", True),
        ({"KLING_NB_BACKEND": ""}, "local", False),
    ],
)
def test_where_jobs_go(environ: Mapping[str, str], backend: str, chosen: bool) -> None:
    settings = resolve(environ=environ)
    assert (settings.backend, settings.chosen) == (backend, chosen)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backend", "cloud"),
        ("timeout", "soon"),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", float("nan")),
        ("local_speed", "fast"),
        ("queue_url", "http://example.com"),
        ("rest_url", "rest.fal.ai"),
        ("api_url", "ftp://api.fal.ai"),
        ("schema_url", "http://fal.ai"),
        ("inline_limit", -1),
        ("inline_limit", "big"),
        ("credentials", "a b"),
    ],
)
def test_values_that_make_no_sense(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        resolve({name: value}, environ={})
    assert len(str(caught.value).splitlines()) <= 4
    with pytest.raises(UsageError):
        configure(**{name: value})
    assert current().backend == "local"  # nothing was changed


@pytest.mark.parametrize("value", ["0.1", "1.5", "small", "nan"])
def test_a_size_of_previews_that_does_not_exist_is_not_replaced_in_silence(value: str) -> None:
    with pytest.raises(UsageError, match=r"LOCAL_SCALE must be a number from 0\.2 to 1, .* Nothing was sent"):
        resolve(environ={"KLING_NB_LOCAL_SCALE": value})


def test_names_that_do_not_exist() -> None:
    for refuse in (configure, Session):
        with pytest.raises(UsageError, match="endpiont") as caught:
            refuse(endpiont="v3-pro")
        assert "endpoint" in caught.value.remedy


def test_one_wrong_value_changes_nothing() -> None:
    with pytest.raises(UsageError):
        configure(endpoint="v3-pro", backend="cloud")
    assert current().endpoint != "v3-pro"


def test_folders_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = resolve({"media": "takes", "home": "~/somewhere"}, environ={})
    assert settings.media == tmp_path.resolve() / "takes"
    assert settings.home == Path("~/somewhere").expanduser()
    assert resolve(environ={}).media == tmp_path.resolve() / "kling_media"
    assert "kling_nb" in str(resolve(environ={}).home)


def test_the_environment_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    monkeypatch.setenv("KLING_NB_ENDPOINT", "v3-pro")
    assert session.settings().endpoint == "v3-pro"
    monkeypatch.setenv("KLING_NB_ENDPOINT", "tts")
    assert session.settings().endpoint == "tts"


def test_a_key_is_not_shown() -> None:
    settings = resolve({"credentials": "id:verysecret"}, environ={})
    assert "verysecret" not in repr(settings)
    assert "verysecret" not in repr(Session(credentials="id:verysecret"))


def test_an_account_has_a_key_of_its_own_and_the_first_layer_with_either_decides() -> None:
    layers = [{"credentials": "code:1"}, {"account": "studio-1"}, {}]
    assert current(*layers[1:]).key == Key(
        "studio-1:secret", "environment variable FAL_KEY_STUDIO_1 (account studio-1)"
    )
    for order in (layers, [{"account": "studio-1"}, {"credentials": "code:1"}]):
        settings = current(*order)
        assert (settings.account is None) == ("credentials" in order[0])
        assert settings.key is not None
        assert settings.key.value == ("code:1" if settings.account is None else "studio-1:secret")
    with pytest.raises(UsageError, match="together"):
        current({"credentials": "code:1", "account": "studio-1"})
    with pytest.raises(UsageError, match="studio-9") as caught:
        configure(account="studio-9")
    assert "studio_0" in str(caught.value)
    assert current({"account": "studio-9", "backend": "local"}).key is None


@pytest.mark.parametrize("account", ["id", "SECRET", ""])
def test_halves_of_a_key_are_no_accounts(account: str) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        current({"account": account})


# -- .env: read only if the user allows it, for its folder only, and only keys.


@pytest.fixture
def downloaded(tmp_cwd: Path) -> Path:
    lines = [
        "export FAL_KEY='env:${HOME}' # mine",
        "FAL_KEY_STUDIO_X=x:1",
        "KLING_NB_QUEUE_URL=https://evil.example",
    ]
    (tmp_cwd / ".env").write_bytes("\ufeff".encode() + "\r\n".join([*lines, "KLING_NB_BACKEND=fal"]).encode())
    return tmp_cwd


def test_a_downloaded_folder_turns_no_preview_into_a_paid_job_and_redirects_no_host(downloaded: Path) -> None:
    before = current()
    assert (before.backend, before.key) == ("local", None)
    assert "%kling key .env" in dotenv_note(before)
    assert "%kling key .env" in local_notice()
    assert "%kling key .env" in tables.status(Session())
    with pytest.raises(MissingKey, match=r"%kling key \.env") as caught:
        Session(backend="fal").submit("a cat")
    assert len(str(caught.value).splitlines()) == 4
    configure(dotenv=True)
    allowed = current()
    assert allowed.key == Key("env:${HOME}", f"file {downloaded / '.env'}: FAL_KEY")
    assert allowed.backend == "fal"
    assert allowed.hosts == before.hosts
    assert dotenv_note(allowed) == ""
    named = current({"account": "studio-x"}).key
    assert named is not None
    assert named.value == "x:1"


def test_a_file_is_allowed_for_its_folder_only(
    downloaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = downloaded / "below"
    other.mkdir()
    monkeypatch.chdir(other)
    assert current({"dotenv": True}).key is None, "no parent folder is searched"
    session = Session(dotenv=True)
    (other / ".env").write_text("FAL_KEY=stranger:1")
    monkeypatch.chdir(downloaded)
    configure(dotenv=True)
    monkeypatch.chdir(other)
    key = current().key
    assert key is not None
    assert key.value == "env:${HOME}"
    assert session.settings().key is not None
    assert session.settings().key.value == "stranger:1"  # of the folder in which it was made
    monkeypatch.setenv("FAL_KEY", "environment:1")
    key = current().key
    assert key is not None
    assert key.value == "environment:1"


def test_no_variable_can_allow_it(downloaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KLING_NB_DOTENV", "DOTENV"):
        monkeypatch.setenv(name, "1")
    assert current().key is None


def test_the_magic_line_allows_it(downloaded: Path) -> None:
    shown: list[str] = []
    outputs = SimpleNamespace(text=shown.append)
    run_line("key", Session(), outputs, {})  # type: ignore[arg-type]
    run_line("key .env", Session(), outputs, {})  # type: ignore[arg-type]
    assert shown[0].startswith("Key: none.\nA .env file is in this folder.")
    assert shown[1] == f"Key: file {downloaded / '.env'}: FAL_KEY."
    for line in ("key env:secret", "key=env:secret", "FAL_KEY=env:secret", "env:secret"):
        with pytest.raises(UsageError) as caught:
            run_line(line, Session(), outputs, {})  # type: ignore[arg-type]
        assert "secret" not in str(caught.value)
    (downloaded / ".env").write_text("OTHER=1")
    with pytest.raises(UsageError, match="has no FAL_KEY"):
        run_line("key .env", Session(), outputs, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"FAL_KEY=a:\xff", b"X=1\n" * 20_000])
def test_a_file_that_cannot_be_read(downloaded: Path, content: bytes) -> None:
    (downloaded / ".env").write_bytes(content)
    with pytest.raises(UsageError, match=r"\.env"):
        configure(dotenv=True)


# -- Users without a home, and folders that were deleted


NO_ONE = 4_000_000_000
"""A user id that no one has, as containers run with."""
HOMELESS = f"""
import os
os.getuid = lambda: {NO_ONE}
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

shell = InteractiveShell.instance(config=Config(HistoryManager={{"enabled": False}}))
shell.run_line_magic("load_ext", "kling_nb")
print("kling" in shell.magics_manager.magics["cell"])
"""


def without_home(environment: Mapping[str, str]) -> dict[str, str]:
    left = {"HOME", "KLING_NB_HOME", "XDG_DATA_HOME"}
    return {name: value for name, value in environment.items() if name not in left}


@pytest.mark.skipif(sys.platform != "linux", reason="homes of Linux")
def test_a_user_without_a_home_is_asked_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        for name in os.environ.keys() - without_home(os.environ).keys():
            patch.delenv(name)
        patch.setattr(os, "getuid", lambda: NO_ONE)
        with pytest.raises(UsageError, match="KLING_NB_HOME"):
            current()
        assert current({"home": tmp_path}).home == tmp_path


@pytest.mark.program
@pytest.mark.skipif(sys.platform != "linux", reason="homes of Linux")
def test_the_extension_loads_without_a_home(tmp_path: Path) -> None:
    environment = {**without_home(os.environ), "IPYTHONDIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", HOMELESS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no home folder" in done.stdout
    assert done.stdout.endswith("True\n")


def test_a_current_folder_that_was_deleted_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(gone)
        gone.rmdir()
        with pytest.raises(UsageError, match="does not exist any more"):
            current({"home": tmp_path})


@pytest.mark.parametrize("value", [5, "~no-such-user/media"])
def test_what_is_no_path(value: object) -> None:
    for name in ("media", "home"):
        with pytest.raises(UsageError, match=r"cannot be used as a path\. Nothing was sent"):
            from_code({name: value})


def test_what_names_no_job_and_no_number_of_jobs(tmp_path: Path) -> None:
    session = Session(backend="local", home=tmp_path)
    with pytest.raises(UsageError, match="No job has the id '5'"):
        session.get_job(5)  # type: ignore[arg-type] -- a user's mistake
    with pytest.raises(UsageError, match="limit must be a whole number, not 'all'"):
        session.jobs(limit="all")  # type: ignore[arg-type] -- a user's mistake
    assert session.endpoints(5) == session.endpoints("5")  # type: ignore[arg-type] -- a user's mistake
