"""Environment of a kernel under test."""

from pathlib import Path

from scripted import ScriptedFal


def pointed_at(fal: ScriptedFal, home: Path) -> dict[str, str]:
    """Environment of a kernel that takes the scripted server for fal."""
    return {
        "KLING_NB_BACKEND": "fal",
        "KLING_NB_QUEUE_URL": fal.url,
        "KLING_NB_REST_URL": fal.url,
        "KLING_NB_API_URL": fal.url,
        "KLING_NB_SCHEMA_URL": fal.url,
        "KLING_NB_HOME": str(home),
        "FAL_KEY": fal.key,
    }
