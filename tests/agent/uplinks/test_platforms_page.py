"""What docs/platforms.md shows can be configured, and its tables have the defaults that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent import config
from agent.uplinks import sparkplug, thingsboard, thingspeak

PAGE = (Path(__file__).parents[3] / "docs" / "platforms.md").read_text()
HEAD = "gateway: {id: gw-1}\nmachines: [{id: ATM-0042}]\n"


@pytest.mark.parametrize("shown", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_what_the_page_shows_is_a_configuration(shown: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(HEAD + shown)
    assert len(config.load(tmp_path / "config.yaml").uplinks) == 1


@pytest.mark.parametrize("module", [sparkplug, thingsboard])
def test_the_page_tells_the_sizes_of_portions(module: object) -> None:
    settings = module.Settings("mqtt://127.0.0.1", **({"group": "bank"} if module is sparkplug else {}))  # type: ignore[attr-defined]
    sizes = f"| `{settings.batch}`, `{settings.batch_bytes // 1024}KiB`, `{settings.window}` |"
    assert f"`batch`, `batch_bytes`, `window` {sizes}" in PAGE


def test_the_page_tells_how_often_a_channel_is_updated() -> None:
    channel = thingspeak.ChannelSettings(1, "ATM-0042", {"field1": "environment.temperature_c"})
    assert f"| `every` | `{thingspeak.Settings('mqtt://127.0.0.1', channels=(channel,)).every:g}s` |" in PAGE
