"""`kling-nb doctor`: what it looks at, and that it never shows the key."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import ScriptedFal

from kling_nb import doctor
from kling_nb.doctor import Finding, examine, report

KEY = "5c0e1a57-0000-4000-8000-feedfacecafe:0123456789abcdef"


@pytest.fixture(autouse=True)
def settings(home: Path, tmp_cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", KEY)
    monkeypatch.setenv("KLING_NB_BACKEND", "fal")
    for name in ("QUEUE", "REST", "API"):
        monkeypatch.setenv(f"KLING_NB_{name}_URL", "http://127.0.0.1:9")


@pytest.fixture
def fal(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedFal]:
    """Scripted hosts, and their key."""
    with ScriptedFal() as server:
        for name in ("QUEUE", "REST", "API"):
            monkeypatch.setenv(f"KLING_NB_{name}_URL", server.url)
        monkeypatch.setenv("FAL_KEY", server.key)
        yield server


def found() -> dict[str, Finding]:
    return {finding.name: finding for finding in examine()}


def test_with_a_server_that_answers(fal: ScriptedFal, home: Path) -> None:
    findings = found()
    assert findings["Queue"].good
    assert findings["Uploads"].good
    assert findings["Key test"] == Finding("Key test", True, f"{fal.url} accepts the key")
    assert findings["Concurrency"].text.startswith("no call of fal reports it")
    assert findings["Price"].text == "v1-pro: $0.098 per second now, at the default settings"
    assert {one.method for one in fal.requests} == {"GET"}  # nothing that could cost
    with_key = [one.target for one in fal.requests if "authorization" in one.headers]
    assert [target.partition("?")[0] for target in with_key] == ["/v1/models", "/v1/models/pricing"]
    assert findings["Python"].good
    assert findings["kling_nb"].good
    assert findings["Key"].text == "environment variable FAL_KEY"
    assert findings["Backend"].text == "fal"
    assert findings["Ledger folder"].text == str(home)
    assert "created when needed" in findings["Media folder"].text
    assert not (Path.cwd() / "kling_media").exists()


def test_a_folder_that_cannot_be_looked_into_is_reported(
    tmp_cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_NB_MEDIA", "x" * 300)  # `Path.exists` raises for it
    assert found()["Media folder"].good


@pytest.mark.parametrize(("number", "good"), [("6.29.5", None), ("7.4.0", True)])
def test_an_ipykernel_that_handles_widgets_late_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str, good: bool | None
) -> None:
    about = tmp_path / f"ipykernel-{number}.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text(f"Metadata-Version: 2.1\nName: ipykernel\nVersion: {number}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = found()["ipykernel"]
    assert (finding.good, "Cancel" in finding.text) == (good, good is None)
    assert finding.text.startswith(number)


def test_with_a_server_that_does_not() -> None:
    findings = found()
    assert findings["Queue"].good is False
    assert "not reachable" in findings["Queue"].text


def test_a_key_that_fal_refuses(fal: ScriptedFal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", KEY + "0")
    finding = found()["Key test"]
    assert finding.good is False
    assert "401" in finding.text or "key" in finding.text.lower()
    fal.platform.prices = {}
    monkeypatch.setenv("FAL_KEY", fal.key)
    findings = found()
    assert findings["Key test"].good
    assert "Price" not in findings


def test_the_route_is_that_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUEUE", "REST", "API"):
        monkeypatch.setenv(f"KLING_NB_{name}_URL", "https://fal.invalid")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{KEY}@127.0.0.1:9")
    findings = found()
    assert findings["Proxy"].text == "http://127.0.0.1:9 (HTTPS_PROXY), for https://fal.invalid"
    assert findings["SOCKS"].good is None
    assert findings["Certificates"].good
    assert findings["Queue"].good is False
    assert "proxy" in findings["Queue"].text
    assert KEY not in report(examine())
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "socksio", None)  # as if it were not installed
    findings = found()
    assert findings["SOCKS"].good is False
    assert "kling_nb[socks]" in findings["Route"].text
    monkeypatch.setenv("HTTPS_PROXY", "")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    findings = found()
    assert findings["Proxy"].text == "none, for https://fal.invalid"
    assert "SSL_CERT_FILE" in findings["Route"].text
    assert findings["Route"].good is False


def test_a_dotenv_file_that_is_not_read_is_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(f"FAL_KEY={KEY}")
    assert ".env" not in found(), "there is a key"
    monkeypatch.delenv("FAL_KEY")
    assert "%kling key .env" in found()[".env"].text


def test_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAL_KEY")
    assert found()["Key"].good is False
    monkeypatch.setenv("KLING_NB_BACKEND", "auto")
    findings = found()
    assert findings["Key"].good is None
    assert "because no key was found" in findings["Backend"].text
    assert findings["Queue"].good is None


def test_with_settings_that_make_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_NB_BACKEND", "cloud")
    assert found()["Settings"].good is False
    monkeypatch.setenv("KLING_NB_BACKEND", "fal")
    monkeypatch.setenv("FAL_KEY", f"{KEY} twice")
    shown = report(examine())
    assert "FAL_KEY" in shown
    assert "feedfacecafe" not in shown


def test_with_a_folder_that_cannot_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KLING_NB_MEDIA", str(tmp_path / "file" / "media"))
    assert found()["Media folder"].good is False


def test_a_report_is_aligned_and_shows_no_key() -> None:
    shown = report(examine())
    for part in KEY.split(":"):
        assert part not in shown
    marks = {line[:2] for line in shown.splitlines()}
    assert marks <= {"ok", "!!", "--"}
    assert report([Finding("A", True, "a"), Finding("Long", None, "b")]) == "ok  A     a\n--  Long  b"


def test_what_is_missing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    optional = {name for name in doctor.PACKAGES if name in doctor.OPTIONAL}
    assert optional
    for finding in examine():
        if finding.name in optional and "not installed" in finding.text:
            assert finding.good is None


def test_the_server_extension_is_enabled_by_installing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert found()["Server extension"].good, "pip install -e . puts jupyter-config/kling_nb.json in its place"
    (tmp_path / "jupyter_server_config.json").write_text(
        '{"ServerApp": {"jpserver_extensions": {"kling_nb": false}}}'
    )
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path))
    off = found()["Server extension"]
    assert off.good is False
    assert "jupyter server extension enable kling_nb" in off.text


def test_an_endpoint_that_fal_lists_as_deprecated_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedFal() as fal:
        monkeypatch.setenv("KLING_NB_API_URL", fal.url)
        monkeypatch.setenv("KLING_NB_ENDPOINT", "v1-pro")
        assert found()["Endpoint"] == Finding("Endpoint", True, "v1-pro")
        fal.platform.deprecated.add("fal-ai/kling-video/v1/pro/text-to-video")
        assert found()["Endpoint"].good is None
        assert "v1-pro is deprecated at fal" in found()["Endpoint"].text
        fal.fault("models", "wrong_types")
        assert found()["Endpoint"].good  # it is a hint, so an answer that cannot be read is no finding
    assert found()["Endpoint"].good


def test_a_library_is_written_to_and_its_account_is_named(
    tmp_path: Path, fal: ScriptedFal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Library" not in found()
    monkeypatch.setenv("KLING_NB_LIBRARY", str(tmp_path / "studio"))
    assert found()["Library"].good is False
    (tmp_path / "studio").mkdir()
    shown = found()["Library"]
    assert shown.good
    assert f"{tmp_path / 'studio'} is reachable and writable (user " in shown.text
    assert not list((tmp_path / "studio").rglob("*.*"))
    monkeypatch.setenv("KLING_NB_LIBRARY", "memory://studio")
    assert found()["Library"].good is None
    assert "two machines may buy the same take" in found()["Library"].text
