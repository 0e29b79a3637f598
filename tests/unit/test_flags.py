"""The line of `%%kling`, and the same flags in a shell."""

import inspect
import re
from typing import Any

import pytest

from kling_nb.catalog import DEFAULT_ENDPOINT
from kling_nb.catalog.shipped import endpoint, endpoints
from kling_nb.errors import InputError, UnknownEndpoint, UsageError
from kling_nb.fal.options import OPTIONS
from kling_nb.notebook.flags import (
    BATCH,
    BATCH_LINE,
    COMMAND,
    FIXED_FLAGS,
    IMAGES,
    MAGIC,
    VARYING,
    CellCall,
    build_parser,
    command_help,
    continue_line,
    flag_of,
    flags_of,
    parse_batch,
    parse_line,
    parse_words,
)
from kling_nb.session import Session


def parsed(line: str, default_endpoint: str = DEFAULT_ENDPOINT, **more: Any) -> CellCall:
    return parse_line(line, default_endpoint=default_endpoint, **more)


def test_an_empty_line() -> None:
    assert parsed("") == parsed("   ") == CellCall()


def test_everything_at_once() -> None:
    call = parsed(
        "cat --duration 10 --aspect-ratio=9:16 --endpoint v1-pro --image 'my cat.png'"
        " --take 2 --timeout 1.5 --quiet"
    )
    assert call == CellCall(
        name="cat",
        arguments={"endpoint": "v1-pro", "image": "my cat.png", "take": 2},
        parameters={"duration": "10", "aspect_ratio": "9:16"},
        timeout=1.5,
        quiet=True,
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--new", {"arguments": {"new": True}}),
        ("--no-wait", {"wait": False}),
        ("--dry-run", {"dry_run": True}),
        ("--aspect_ratio 1:1", {"parameters": {"aspect_ratio": "1:1"}}),
        ("--set duration=10", {"parameters": {"duration": 10}}),
        (
            '--set aspect-ratio=\'"1:1"\' --set duration="5"',
            {"parameters": {"aspect_ratio": "1:1", "duration": 5}},
        ),
        ("--duration 5 film", {"name": "film", "parameters": {"duration": "5"}}),
        ("-- film", {"name": "film"}),
        (r"--image C:\Users\ann\cat.png", {"arguments": {"image": r"C:\Users\ann\cat.png"}}),
        (r"--image \\host\cats\a.png film", {"arguments": {"image": r"\\host\cats\a.png"}, "name": "film"}),
        (r'--image "C:\my cats\a.png"', {"arguments": {"image": r"C:\my cats\a.png"}}),
        (r"--image my\ cat.png", {"arguments": {"image": "my cat.png"}}),
        ("--duration 5 # a comment --new", {"parameters": {"duration": "5"}}),
        ("film #comment", {"name": "film"}),
        ("# nothing 'but", {}),
        (
            "--hint #7 --webhook https://a.example/#b",
            {"arguments": {"hint": "#7", "webhook_url": "https://a.example/#b"}},
        ),
        ("--hint 'a # b' --tag \"x=#y\"", {"arguments": {"hint": "a # b", "tags": {"x": "#y"}}}),
        ("--hint 'the “best”' --raw", {"arguments": {"hint": "the “best”"}, "raw": True}),
    ],
)
def test_flags(line: str, expected: dict[str, Any]) -> None:
    assert parsed(line) == CellCall(**expected)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("--generate-audio", "true"),
        ("--generate-audio true", "true"),
        ("--generate-audio=false", "false"),
        ("--no-generate-audio", "false"),
        ("--generate_audio", "true"),
    ],
)
def test_switches(line: str, value: str) -> None:
    assert parsed(line, "v3-pro").parameters == {"generate_audio": value}


def test_nested_values_are_json() -> None:
    line = """--set 'multi_prompt=[{"prompt": "a {cat}", "duration": "5"}]'"""
    call = parsed(line, "v3-pro", fill=lambda word: word.replace("{", "<"))
    assert call.parameters == {"multi_prompt": [{"prompt": "a {cat}", "duration": "5"}]}


def test_variables_are_filled_into_single_words() -> None:
    """After the line is split, so that a value with spaces stays one word; JSON keeps its braces."""
    filled = {"{style}": "a b --new", "{name}": "film", "{n}": "10"}
    call = parsed(
        "{name} --negative-prompt {style} --duration={n}",
        "v2-master",
        fill=lambda word: filled.get(word, word),
    )
    assert call.name == "film"
    assert call.parameters["negative_prompt"] == "a b --new"
    assert "new" not in call.arguments


def test_the_endpoint_of_the_line_gives_the_flags() -> None:
    assert parsed("--voice-id x --endpoint tts").parameters == {"voice_id": "x"}
    with pytest.raises(UsageError, match="no flag --voice-id"):
        parsed("--voice-id x")
    assert parsed("--duration 5 --endpoint=v3-pro").arguments == {"endpoint": "v3-pro"}


REFUSED = [
    ("--aspekt-ratio 1:1", "Did you mean --aspect-ratio"),
    ("--nonsense", "has no flag --nonsense"),
    ("--dur 5", "has no flag --dur"),  # no abbreviations: what they mean may change
    ("--duration", "expected one argument"),
    ("--take 0", "'0' is not a whole number from 1"),
    ("--take 1.5", "not a whole number"),
    ("--take -1", "--take"),
    ("--timeout 0", "above 0"),
    ("--timeout inf", "above 0"),
    ("--timeout nan", "above 0"),
    ("--timeout soon", "above 0"),
    ("--take 1 --new", "contradict"),
    ("--no-wait --timeout 5", "contradict"),
    ("--duration 5 --set duration=10", "given twice"),
    ("--set duration=5 --set duration=10", "given twice"),
    ("--set duration", "has no name or no value"),
    ("--set =5", "has no name or no value"),
    ("--set duration=five", "not JSON"),
    ("--set prompt='\"a cat\"'", "cannot set the prompt"),
    ("a cat", "does not belong on the line"),
    ("a-cat", "not a valid variable name"),
    ("class", "not a valid variable name"),
    ("1st", "not a valid variable name"),
    ("--aspect-ratio '1:1", "is not closed"),
    ("--prompt 'a cat'", "has no flag --prompt. Write the prompt below the line."),
    ("--help", "%%kling? shows all flags"),
    ("--hint “a b”", "“a begins with the typographic quote “"),
    ("--hint ‘a’", "Write ' on both sides: --negative-prompt 'a, b'"),
    ("--hint=«a»", "typographic quote «"),
    (
        "—duration 5",
        "—duration begins with the long dash —. Nothing was sent.\nWrite two short ones: --duration",
    ),
    ("–-new", "Write two short ones: --new"),
    ("--voice-id x", "v1-pro has no flag --voice-id. tts"),
    ("--end-frame 5", "Did you mean"),
]


@pytest.mark.parametrize(("line", "words"), REFUSED)
def test_what_cannot_be_understood(line: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(line)
    output = str(caught.value)
    assert words in output
    assert "Nothing was sent" in output
    assert len(output.splitlines()) <= 4


def test_the_flags_of_the_endpoint_are_suggested_first() -> None:
    with pytest.raises(UsageError) as caught:
        parsed("--aspekt 5")
    assert caught.value.message.endswith("Did you mean --aspect-ratio?")
    assert caught.value.remedy.startswith("Its flags: --duration --aspect-ratio --endpoint ")
    with pytest.raises(UsageError, match="v1-pro has no flag --generate-audio") as caught:
        parsed("--generate-audio")
    named = re.search(r"--endpoint (\S+)\.$", caught.value.message)
    assert named is not None
    assert "--generate-audio" in flags_of(endpoint(named[1]))
    assert endpoint(named[1]).category == "text-to-video"


def test_a_backslash_at_its_end_continues_the_line() -> None:
    assert continue_line("fox \\", "--new \\\n--quiet\na fox\\\n") == ("fox  --new  --quiet", "a fox\\\n")
    assert continue_line("fox \\", "") == ("fox  ", "")
    assert continue_line("fox # no \\", "a fox") == ("fox # no \\", "a fox")
    assert continue_line('fox --hint "a \\', 'b"\na fox') == ('fox --hint "a  b"', "a fox")


def test_a_parameter_that_a_call_would_take_for_something_else() -> None:
    """`--set new=true` must not reach `submit(new=…)`."""
    for name in (
        "new",
        "take",
        "image",
        "backend",
        "endpoint",
        "notebook",
        "on_event",
        "webhook_url",
        "nonsense",
    ):
        with pytest.raises(InputError):
            parsed(f"--set {name}=1")


def test_an_unknown_endpoint() -> None:
    with pytest.raises(UnknownEndpoint, match="v1-prro"):
        parsed("--endpoint v1-prro")


@pytest.mark.parametrize(
    "one", [one for one in endpoints() if one.has_schema], ids=lambda one: one.short_name
)
def test_every_endpoint_has_a_parser(one: Any) -> None:
    """No two flags of the same name, and help that can be shown."""
    for prog in (MAGIC, COMMAND):
        assert one.parameters[0].name
        assert build_parser(one, prog).format_help()
    flags = flags_of(one)
    assert len(set(flags)) == len(flags)
    assert set(FIXED_FLAGS) <= set(flags)
    for control in one.parameters:
        if control.name not in {"prompt", "text"}:
            assert flag_of(control.name) in flags


def test_every_flag_of_a_submission_gives_one_of_its_arguments() -> None:
    arguments = {flag.argument for flag in FIXED_FLAGS.values() if flag.argument}
    assert arguments <= {*inspect.signature(Session.submit).parameters, *OPTIONS}
    assert arguments >= VARYING >= IMAGES


def test_what_a_line_gives_to_submit() -> None:
    line = (
        "fox --image a.png --end-image b.png --take 2 --frozen --max-cost none --webhook https://x.example/"
        " --priority low --start-timeout 60 --tag a=b --tag c=d --hint x --no-retry --no-store --duration 5"
    )
    assert parsed(line, "v3-pro-image").submit_arguments(lambda word, flag: f"{flag} {word}") == {
        "image": "--image a.png",
        "end_image": "--end-image b.png",
        "take": 2,
        "frozen": True,
        "max_cost": "none",
        "webhook_url": "https://x.example/",
        "priority": "low",
        "start_timeout": 60.0,
        "tags": {"a": "b", "c": "d"},
        "hint": "x",
        "no_retry": True,
        "store_io": False,
        "duration": "5",
    }


# the shell's


def test_in_a_shell_the_prompt_is_the_word_that_is_no_flag() -> None:
    for words in (["a cat", "--duration", "10"], ["--duration", "10", "a cat"]):
        prompt, call = parse_words(words, default_endpoint=DEFAULT_ENDPOINT)
        assert prompt == "a cat"
        assert call.parameters == {"duration": "10"}
        assert call.name is None


def test_a_value_is_never_taken_for_the_prompt() -> None:
    prompt, call = parse_words(["--negative-prompt", "blurry", "a cat"], default_endpoint="v2-master")
    assert (prompt, call.parameters) == ("a cat", {"negative_prompt": "blurry"})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a", "cat"], "in quotes"),
        (["a cat", "--nonsense"], "kling-nb generate: v1-pro has no flag"),
        (["a cat", "--take", "0"], "kling-nb generate --help"),
        (["--prompt", "a cat"], "Write the prompt in quotes, without a flag."),
    ],
)
def test_errors_in_a_shell_speak_of_the_command(words: list[str], expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_words(words, default_endpoint=DEFAULT_ENDPOINT)
    assert expected in str(caught.value)
    assert "%%kling" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a cat", "--table", "shots.csv"], "In a shell, write kling-nb batch FILE."),
        (["a cat", "--concurrency", "2"], "Only %%kling cells and kling-nb batch have it."),
        (["a cat", "--raw"], "Only %%kling cells have it."),
    ],
)
def test_flags_of_cells_in_a_shell(words: list[str], expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_words(words, default_endpoint=DEFAULT_ENDPOINT)
    assert caught.value.message.endswith(expected)
    assert "more have it" not in str(caught.value)


def test_a_batch_speaks_of_the_line_or_the_command() -> None:
    for prog in (BATCH, BATCH_LINE):
        with pytest.raises(UsageError, match=f"{prog} needs a table") as caught:
            parse_batch([], default_endpoint=DEFAULT_ENDPOINT, prog=prog)
        assert caught.value.remedy == f"Write {prog} shots.csv."
        with pytest.raises(UsageError, match=f"{prog}: .* has no flag --no-wait. {prog} always waits"):
            parse_batch(["shots.csv", "--no-wait"], default_endpoint=DEFAULT_ENDPOINT, prog=prog)


def test_odd_prompts_in_a_shell() -> None:
    for prompt in ("-", "- a dash", "--a cat with dashes", "100 % {cat} $HOME"):
        assert parse_words([prompt], default_endpoint=DEFAULT_ENDPOINT)[0] == prompt
    assert parse_words(["--", "--new"], default_endpoint=DEFAULT_ENDPOINT)[0] == "--new"
    assert parse_words([], default_endpoint=DEFAULT_ENDPOINT)[0] is None


def test_help_in_a_shell_is_of_the_endpoint_named() -> None:
    assert "--aspect-ratio" in command_help([], default_endpoint=DEFAULT_ENDPOINT)
    assert "--voice-id" in command_help(["--endpoint", "tts"], default_endpoint=DEFAULT_ENDPOINT)
    assert endpoint(DEFAULT_ENDPOINT).short_name == "v1-pro"
