"""Keys: where they come from, and how little of them is shown."""

import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from kling_nb import settings as _settings
from kling_nb.errors import KlingError, UsageError
from kling_nb.fal import auth as key_stores
from kling_nb.fal.auth import Key, find_key

KEY = "5c0e1a57-0000-4000-8000-feedfacecafe:0123456789abcdef"


def test_the_order() -> None:
    everything = {"FAL_KEY": "a:1", "FAL_KEY_ID": "b", "FAL_KEY_SECRET": "2"}
    assert find_key("c:3", everything) == Key("c:3", "credentials set in code")
    assert find_key(lambda: "d:4", everything) == Key("d:4", "credentials set in code")
    assert find_key(None, everything) == Key("a:1", "environment variable FAL_KEY")
    del everything["FAL_KEY"]
    found = find_key(None, everything)
    assert found is not None
    assert (found.value, found.source) == ("b:2", "environment variables FAL_KEY_ID and FAL_KEY_SECRET")
    del everything["FAL_KEY_SECRET"]
    assert find_key(None, everything) is None
    assert find_key(None, {}) is None
    assert find_key(None, {"FAL_KEY": "  "}) is None


def test_space_around_a_key_is_dropped() -> None:
    found = find_key(None, {"FAL_KEY": f" {KEY}\n"})
    assert found is not None
    assert found.value == KEY
    assert found.header == f"Key {KEY}"


@pytest.mark.parametrize(
    "written", ["'{}'", '"{}"', "“{}”", "Key {}", '"Key {}"', "key  {}", "\ufeff{}\r\n", "`{}`", ' "{} " ']
)
def test_what_people_copy_along_with_a_key_is_dropped(written: str) -> None:
    found = find_key(None, {"FAL_KEY": written.format(KEY)})
    assert found is not None
    assert found.value == KEY


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"FAL_KEY": f"FAL_KEY={KEY}"}, "what follows the = sign"),
        ({"FAL_KEY": f"export FAL_KEY='{KEY}'"}, "what follows the = sign"),
        ({"FAL_KEY": f'$env:FAL_KEY = "{KEY}"'}, "what follows the = sign"),
        ({"FAL_KEY": KEY.partition(":")[0]}, "no colon"),
        ({"FAL_KEY": f"{KEY.partition(':')[0]}:"}, "no colon"),
        ({"FAL_KEY_SECRET": KEY}, "Put it into FAL_KEY"),
        ({"FAL_KEY_SECRET": f"'{KEY}'", "FAL_KEY_ID": "5c0e1a57"}, "Put it into FAL_KEY"),
        ({"FAL_KEY_ID": KEY, "FAL_KEY_SECRET": "feedfacecafe"}, "Put it into FAL_KEY"),
    ],
)
def test_a_key_in_the_wrong_form_is_recognised_with_a_remedy(variables: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_key(None, variables)
    text = str(caught.value)
    assert words in text
    assert next(iter(variables)) in text
    assert len(text.splitlines()) <= 4
    assert not any(part in text for part in ("5c0e1a57", "feedfacecafe", "0123456789abcdef"))


@pytest.mark.parametrize("value", ["", "  ", "a b", "a\nb", "schlüssel", "a\x00b", 7, b"a:b"])
def test_what_cannot_be_a_key_is_refused_and_not_repeated(value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        find_key(value, {})
    output = str(caught.value)
    assert "credentials" in output
    assert len(output.splitlines()) <= 4
    assert not str(value).strip() or str(value) not in output


def test_a_function_that_gives_nothing() -> None:
    with pytest.raises(UsageError, match="empty"):
        find_key(lambda: None, {})  # type: ignore[arg-type, return-value]


def test_it_is_not_shown() -> None:
    key = Key(KEY, "FAL_KEY")
    for text in (repr(key), str(key), f"{key}", f"{key!r}", key.fingerprint):
        assert not any(part in text for part in KEY.split(":"))
    assert "FAL_KEY" in repr(key)


def test_a_fingerprint_tells_keys_apart() -> None:
    assert Key(KEY, "a").fingerprint == Key(KEY, "b").fingerprint
    assert Key(KEY, "a").fingerprint != Key(KEY + "0", "a").fingerprint
    assert len(Key(KEY, "a").fingerprint) == 8


STORED = "b2:stored"


@pytest.fixture(autouse=True)
def asked_again() -> Iterator[None]:
    key_stores.forget()
    yield
    key_stores.forget()


class MemoryRing(KeyringBackend):
    """A key ring as a backend of the keyring package has it; `fault` is what it raises."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[tuple[str, str], str] = {}
        self.asked = 0
        self.fault: Exception | None = None

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        if self.fault:
            raise self.fault
        return self.values.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.fault:
            raise self.fault
        self.values[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.values[service, username]


@pytest.fixture
def ring() -> Iterator[MemoryRing]:
    before = keyring.get_keyring()
    ring = MemoryRing()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def test_the_key_ring_comes_last(ring: MemoryRing) -> None:
    key_stores.keep(STORED)
    assert ring.values == {("kling_nb", "fal"): STORED}
    for explicit, environ in (("c:3", {}), (None, {"FAL_KEY": "a:1"})):
        found = find_key(explicit, environ)
        assert found is not None
        assert found.value != STORED
    assert ring.asked == 0
    assert find_key(None, {}) == Key(STORED, "key ring of the system")
    assert find_key(None, {}, look_in_stores=False) is None


def test_the_key_ring_is_asked_once(ring: MemoryRing) -> None:
    assert find_key(None, {}) is None
    assert find_key(None, {}) is None
    assert ring.asked == 1
    ring.values["kling_nb", "fal"] = STORED  # by another process
    assert find_key(None, {}) is None
    key_stores.forget()
    assert find_key(None, {}) is not None
    assert key_stores.drop() is True
    assert key_stores.drop() is False
    assert find_key(None, {}) is None


def test_configure_asks_the_stores_again(ring: MemoryRing) -> None:
    assert _settings.resolve({}, environ={}).key is None
    ring.values["kling_nb", "fal"] = STORED
    _settings.configure({})
    settings = _settings.resolve({}, environ={})
    assert settings.backend == "fal"
    assert settings.key == Key(STORED, "key ring of the system")


def test_a_local_backend_asks_no_store(ring: MemoryRing) -> None:
    assert _settings.resolve({"backend": "local"}, environ={}).key is None
    assert ring.asked == 0


def test_a_key_ring_that_is_locked_has_no_key_and_says_so_when_it_is_to_keep_one(ring: MemoryRing) -> None:
    ring.fault = KeyringLocked(f"no, not even for {STORED}")
    assert find_key(None, {}) is None
    with pytest.raises(KlingError) as caught:
        key_stores.keep(STORED)
    assert "KeyringLocked" in str(caught.value)
    assert STORED not in "".join(traceback.format_exception(caught.value))
    assert len(str(caught.value).splitlines()) <= 4
    with pytest.raises(KlingError):
        key_stores.drop()


def test_a_stored_text_that_is_no_key(ring: MemoryRing) -> None:
    ring.values["kling_nb", "fal"] = "a b"
    with pytest.raises(UsageError, match="key ring"):
        find_key(None, {})


# -- Colab, in a process of its own, with modules of its names ----------------------------

SHELL = "from IPython.core.interactiveshell import InteractiveShell\nclass Shell(InteractiveShell): pass\n"
USERDATA = """
import os, sys
class SecretNotFoundError(Exception): pass
def get(name):
    print("asked for", name, file=sys.stderr)
    if os.environ["ANSWER"] == "raise":
        raise SecretNotFoundError(name)
    return os.environ["ANSWER"]
"""
PROGRAM = """
import os, sys
if os.environ["SHELL_OF"] == "colab":
    from google.colab._shell import Shell
    Shell.instance()
elif os.environ["SHELL_OF"] == "ipython":
    from IPython.core.interactiveshell import InteractiveShell
    InteractiveShell.instance()
from kling_nb.settings import current
settings = [current() for _ in range(3)][-1]
print(settings.backend, settings.key.source if settings.key else None)
print("imported", sorted({"google.colab.userdata", "keyring"} & set(sys.modules)))
"""


def colab(folder: Path, *, answer: str = "c0:lab", shell: str = "colab", **environ: str) -> tuple[str, str]:
    """What the program printed, and what Colab was asked."""
    package = folder / "google" / "colab"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "_shell.py").write_text(SHELL)
    (package / "userdata.py").write_text(USERDATA)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        env={
            **os.environ,
            "KLING_NB_BACKEND": "auto",
            "PYTHONPATH": os.pathsep.join([str(folder), os.environ["PYTHONPATH"]]),
            "ANSWER": answer,
            "SHELL_OF": shell,
            **environ,
        },
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    return done.stdout, done.stderr


def test_a_colab_secret(tmp_path: Path) -> None:
    output, asked = colab(tmp_path)
    assert output.startswith("fal Colab secret FAL_KEY\n")
    assert "c0:lab" not in output
    assert asked.count("asked for FAL_KEY") == 1
    assert "'keyring'" not in output


def test_no_colab_secret(tmp_path: Path) -> None:
    output, asked = colab(tmp_path, answer="raise")
    assert output.startswith("local None\n")
    assert asked.count("asked for FAL_KEY") == 1


def test_the_environment_comes_before_colab(tmp_path: Path) -> None:
    output, asked = colab(tmp_path, FAL_KEY="a:1")
    assert output == "fal environment variable FAL_KEY\nimported []\n"
    assert asked == ""


@pytest.mark.parametrize("shell", ["ipython", "none"])
def test_colab_is_not_asked_outside_of_its_kernel(tmp_path: Path, shell: str) -> None:
    """Although its module can be imported: asking would wait for a front end that is not there."""
    output, asked = colab(tmp_path, shell=shell)
    assert output.startswith("local None\n")
    assert "userdata" not in output
    assert asked == ""


def run_python(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_package_is_not_imported_where_the_key_is_elsewhere() -> None:
    program = (
        "import sys; from kling_nb.fal.auth import find_key\n"
        "find_key('a:1', {}); find_key(None, {'FAL_KEY': 'a:1'}); find_key(None, {}, look_in_stores=False)\n"
        "print([name for name in sys.modules if name.startswith(('keyring', 'google'))])"
    )
    assert run_python(program) == "[]"


def test_without_the_extra_there_is_no_key_in_the_key_ring() -> None:
    program = (
        "import sys; sys.modules['keyring'] = None; from kling_nb.fal.auth import find_key\n"
        "print(find_key(None, {}))"
    )
    assert run_python(program) == "None"
