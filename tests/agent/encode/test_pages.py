"""The pages of docs/encodings: their examples are batches, their schemas fit the examples and everything that is sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cbor2
import jsonschema
import msgspec
import pycddl
import pytest

from agent.encode import DEFLATED, ENCODINGS
from agent.records import Body, Envelope
from tests.agent.encode.test_encodings import BODIES

PAGES = Path(__file__).parents[3] / "docs" / "encodings"
AT = 1_760_000_000.0


def blocks(name: str, language: str) -> list[str]:
    page = (PAGES / (name.replace("+", "-") + ".md")).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def dumped(name: str) -> bytes:
    return bytes.fromhex("".join(line.partition("#")[0] for line in blocks(name, "")[0].splitlines()))


def batches() -> list[list[Envelope]]:
    def late(body: Body) -> Body:
        """The same in our time: SenML has another way for 1970."""
        times = {key: getattr(body, key) + AT for key in ("at", "start", "end") if hasattr(body, key)}
        evidence = getattr(body, "evidence", None)
        if evidence is not None:
            times["evidence"] = tuple(msgspec.structs.replace(each, at=each.at + AT) for each in evidence)
        return msgspec.structs.replace(body, **times)

    bodies = [*BODIES, *map(late, BODIES)]
    return [[Envelope("g", "e", "l", position, "b", 0.5, AT, True, body) for position in (1, 2)] for body in bodies]


@pytest.mark.parametrize("name", ["json", "senml+json"])
def test_the_json_schema(name: str) -> None:
    example, schema = (msgspec.json.decode(block) for block in blocks(name, "json"))
    validator = jsonschema.Draft202012Validator(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator.validate(example)
    for batch in batches():
        validator.validate(msgspec.json.decode(ENCODINGS[name].encode(batch)))


@pytest.mark.parametrize("name", ["cbor", "senml+cbor"])
def test_the_cddl(name: str) -> None:
    schema = pycddl.Schema(blocks(name, "cddl")[0])
    schema.validate_cbor(dumped(name))
    for batch in batches():
        schema.validate_cbor(ENCODINGS[name].encode(batch))


def test_the_two_json_examples_are_the_same_batch_and_the_dumps_are_batches() -> None:
    plain, senml = (ENCODINGS[name].decode(blocks(name, "json")[0].encode()) for name in ("json", "senml+json"))
    assert plain == senml
    assert msgspec.json.decode(ENCODINGS["senml+json"].encode(plain)) == msgspec.json.decode(blocks("senml+json", "json")[0])
    assert [ENCODINGS[name].decode(dumped(name))[0].kind for name in ("cbor", "senml+cbor")] == ["loss", "reading"]


WRONG: list[tuple[str, Any]] = [
    ("json", lambda batch: batch.pop("lane")),
    ("json", lambda batch: batch["envelopes"][0].update(position=0)),
    ("json", lambda batch: batch["envelopes"][0]["body"].update(kind="order")),
    ("cbor", lambda batch: batch["envelopes"][0].update(position=0)),
    ("cbor", lambda batch: batch["envelopes"][0]["body"].update(kind="order")),
    ("senml+json", lambda pack: pack[0].pop("pos")),
    ("senml+json", lambda pack: pack[0].update(cipher_="x")),
    ("senml+json", lambda pack: pack[1].pop("v")),
    ("senml+cbor", lambda pack: pack[0].update({2: "x"})),
    ("senml+cbor", lambda pack: pack[0].update(pos=0)),
]


@pytest.mark.parametrize(("name", "spoil"), WRONG)
def test_a_schema_refuses_what_is_none(name: str, spoil: Any) -> None:
    if name.endswith("json"):
        example, schema = (msgspec.json.decode(block) for block in blocks(name, "json"))
        spoil(example)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate(example)
    else:
        batch = cbor2.loads(dumped(name))
        spoil(batch)
        with pytest.raises(pycddl.ValidationError):
            pycddl.Schema(blocks(name, "cddl")[0]).validate_cbor(cbor2.dumps(batch))


def test_the_page_of_compression_names_what_is_sent() -> None:
    page = (PAGES / "compression.md").read_text()
    for name, each in DEFLATED.items():
        form = "none" if each.content_format is None else str(each.content_format)
        assert f"| `{name}` | `{each.media_type}` | {form}" in page
