"""Settings: each layer over every lower one, at call time."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kling_nb import front_end
from kling_nb.api import configure
from kling_nb.errors import UsageError
from kling_nb.session import Session
from kling_nb.settings import ENVIRONMENT, NAMES, Settings, current, resolve

KEY_VARIABLES = ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET")

VALUES: dict[str, list[Any]] = {
    "backend": ["fal", "local", "fal", "local", "fal"],
    "endpoint": ["v1-pro", "v3-pro", "tts", "v2-master", "try-on"],
    "queue_url": [f"https://queue-{number}.example" for number in range(5)],
    "rest_url": [f"https://rest-{number}.example" for number in range(5)],
    "api_url": [f"https://api-{number}.example" for number in range(5)],
    "schema_url": [f"https://schema-{number}.example" for number in range(5)],
    "proxy": [f"http://proxy-{number}.example:1" for number in range(5)],
    "ca_bundle": [f"/tmp/ca-{number}.pem" for number in range(5)],
    "home": [f"/tmp/home-{number}" for number in range(5)],
    "media": [f"/tmp/media-{number}" for number in range(5)],
    "timeout": [1, 2.5, 3, 4, 5],
    "local_speed": [1, 2, 3, 4, float("inf")],
    "inline_limit": [1, 2, 3, 4, 5],
    "budget": [1.5, 0.0, 3.5, 4.5, 5.5],
    "daily_budget": [1.5, 0.0, 3.5, 4.5, 5.5],
    "max_cost": [1.5, 0.0, float("inf"), 4.5, 5.5],
    "frozen": [True, False, True, False, True],
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
    yield
    configure(**dict.fromkeys(NAMES))
    front_end.config = dict


def test_every_setting_has_values_here() -> None:
    assert {*VALUES, "credentials", "prices"} == set(NAMES)


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
