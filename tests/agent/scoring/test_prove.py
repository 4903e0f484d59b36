"""What is refused, with which word, and that nothing which a model does harms the process that asked."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from math import isnan
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent import scoring
from agent.errors import ModelRefused
from agent.scoring import onnx_file, prove, trust
from agent.scoring.session import load
from tests.agent.scoring import graphs

BUDGET = 0.5  # s; the tests share their processors


async def attempt(path: Path, keys: tuple[Path, ...] = (), *, pinned: str | None = None, budget: float = BUDGET) -> str:
    """The word and the message with which a file is refused."""
    if pinned is None and not keys:
        pinned = trust.sha256(trust.read(path))
    with pytest.raises(ModelRefused) as refused:
        await prove(path, pinned, budget, time.perf_counter, keys)
    return f"{refused.value.word}: {refused.value}"


async def test_a_good_model_scores_as_its_definition_says(tmp_path: Path) -> None:
    path = graphs.put(tmp_path, graphs.model())
    model = await prove(path, hashlib.sha256(path.read_bytes()).hexdigest(), BUDGET, time.perf_counter)
    for row in ([0.0, 1.0, 5.0], [2.0, float("nan"), 0.0], [float("nan")] * 3):
        known = [None if isnan(value) else value for value in row]
        score = model(row)
        assert score is not None
        assert score.value == pytest.approx(graphs.answer(known), abs=1e-6)
    score = model([0.5, 1.0, 3.0])
    assert score is not None
    assert score.drivers == (graphs.FEATURES[2], graphs.FEATURES[1], graphs.FEATURES[0])  # by their contributions 3, 2, 0.25
    assert model.id.startswith("test_risk-1.0-")


async def test_a_file_that_nobody_vouches_for(tmp_path: Path) -> None:
    path = graphs.put(tmp_path, graphs.model())
    with pytest.raises(ModelRefused, match="nothing vouches for it"):
        await prove(path, None, BUDGET, time.perf_counter)


async def test_another_file_than_the_pinned_one(tmp_path: Path) -> None:
    path = graphs.put(tmp_path, graphs.model())
    assert "wanted is 0000" in await attempt(path, pinned="0" * 64)


async def test_places_where_no_file_is(tmp_path: Path) -> None:
    assert (await attempt(tmp_path / "none.onnx", pinned="0" * 64)).startswith("missing")
    assert "no regular file" in await attempt(tmp_path, pinned="0" * 64)
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "no regular file" in await attempt(tmp_path / "pipe.onnx", pinned="0" * 64)  # and does not wait for a writer


async def test_a_hundred_megabytes(tmp_path: Path) -> None:
    path = graphs.put(tmp_path, b"")
    os.truncate(path, 100 * 1024 * 1024)
    assert "has 104857600 bytes, more than" in await attempt(path, pinned="0" * 64)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read the file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = graphs.put(tmp_path, graphs.model())
    path.chmod(0o600)
    for parent in (tmp_path, *tmp_path.parents[:-2]):
        parent.chmod(0o755)
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); import agent.scoring.trust as t\n"
        "from agent.errors import ModelRefused; from pathlib import Path\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: t.read(Path(sys.argv[1]))\n"
        "except ModelRefused as error: print(error.word, error)\n"
    )
    root = str(Path(scoring.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", script, str(path), root], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("missing "), done.stderr
    assert "Permission denied; name a file that this user may read" in done.stdout


async def test_files_that_were_cut_short(tmp_path: Path) -> None:
    whole = graphs.model()
    refused = 0
    for length in range(0, len(whole), 7):  # the cheap look at the file alone finds nearly every cut; the runtime finds the rest
        try:
            onnx_file.check_operators(tmp_path, whole[:length])
        except ModelRefused:
            refused += 1
    assert refused > 0.9 * len(range(0, len(whole), 7))
    card_lost = whole[: whole.rindex(b"card") - 6]
    for cut in (whole[:0], whole[:1], whole[:-1], whole[: len(whole) // 2], card_lost):
        message = await attempt(graphs.put(tmp_path, cut))
        assert message.startswith("refused"), message


def test_a_card_that_does_not_fit(tmp_path: Path) -> None:
    cases = {
        "expected one of mean": graphs.card(features=["rms(motion.rms_ms2,60s)", *graphs.FEATURES[1:]]),
        "no point 'motion.noise'": graphs.card(features=["mean(motion.noise,60s)", *graphs.FEATURES[1:]]),
        "between 1s and a week": graphs.card(features=["mean(motion.rms_ms2,9999999s)", *graphs.FEATURES[1:]]),
        "has no word 'ajar'": graphs.card(
            features=[graphs.FEATURES[0], "share(auxiliaries.cabinetDoor=ajar,60s)", graphs.FEATURES[2]]
        ),
        "takes 3 features, its card names 2": graphs.card(
            features=list(graphs.FEATURES[:2]), golden={"inputs": [[None, None]], "scores": [0.0]}
        ),
        "golden inputs do not fit": graphs.card(golden={"inputs": [[None]], "scores": [0.0]}),
        "no golden inputs": graphs.card(golden={"inputs": [], "scores": []}),
        "threshold is 7.0": graphs.card(threshold=7.0),
        "float32 [rows, 2]": graphs.card(classes=["none", "B2"]),
        "histograms do not fit": graphs.card(histograms=[{"edges": [1.0, 1.0], "shares": [0.1] * 4}] * 3),
        "its card is not one of this agent's": {"name": "test_risk"},
    }
    for reason, text in cases.items():
        data = graphs.model(text=text)
        with pytest.raises(ModelRefused) as refused:
            load(tmp_path, data, trust.sha256(data), BUDGET, time.perf_counter)
        assert refused.value.word == "refused"
        assert reason in str(refused.value)


@pytest.mark.parametrize("score", [float("nan"), 0.3, float("inf")])
def test_graphs_that_answer_something_else(tmp_path: Path, score: float) -> None:
    with pytest.raises(ModelRefused, match=r"where its card has 0\.047426; this runtime computes it wrongly"):
        load(tmp_path, graphs.model(graphs.saying(score)), "", BUDGET, time.perf_counter)


async def test_a_graph_that_takes_another_number_of_features(tmp_path: Path) -> None:
    assert "takes 4 features, its card names 3" in await attempt(graphs.put(tmp_path, graphs.model(features=4)))


async def test_a_loop_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = graphs.put(tmp_path, graphs.model(graphs.endless()))
    assert "ai.onnx.Loop, whose time has no bound" in await attempt(path)


async def test_a_model_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "check_operators", lambda path, data: None)
    monkeypatch.setattr(scoring, "PROBE_LIMIT", 2.0)
    assert "took longer than 2 s" in await attempt(graphs.put(tmp_path, graphs.model(graphs.endless())))


async def test_a_model_that_is_slow(tmp_path: Path) -> None:
    message = await attempt(graphs.put(tmp_path, graphs.model(graphs.heavy(8))), budget=0.003)
    assert message.startswith("slow: ")
    assert "its budget is 0.003 s" in message


async def test_a_model_that_wants_all_memory(tmp_path: Path) -> None:
    assert (await attempt(graphs.put(tmp_path, graphs.model(graphs.greedy(10**9))))).startswith("broken: ")


@pytest.mark.parametrize(
    ("deed", "said"), [("SIGILL", "Illegal instruction"), ("SIGSEGV", "Segmentation fault"), ("SIGKILL", "Killed")]
)
async def test_a_runtime_that_kills_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str, said: str) -> None:
    """A stand-in for the runtime, found first on the child's path, does what a wrong build does: a real signal, a real death."""
    (tmp_path / "onnxruntime.py").write_text(f"import os, signal\nos.kill(os.getpid(), signal.{deed})\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(scoring.__file__).parents[2]}")
    message = await attempt(graphs.put(tmp_path, graphs.model()))
    assert said in message
    assert message.startswith("slow" if deed == "SIGKILL" else "broken")


async def test_a_runtime_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('cannot open shared object file: libonnxruntime.so')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(scoring.__file__).parents[2]}")
    message = await attempt(graphs.put(tmp_path, graphs.model()))
    assert message.startswith("broken")
    assert "cannot open shared object file" in message


# Signatures -------------------------------------------------------------------------------------------------------------


def pem(folder: Path, key: Ed25519PublicKey, name: str = "operator.pem") -> Path:
    path = folder / name
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(key.public_bytes(serialization.Encoding.PEM, form))
    return path


async def test_a_signature_vouches_for_its_file_and_no_other(tmp_path: Path) -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    path = graphs.put(tmp_path, graphs.model())
    trust.signature_of(path).write_bytes(key.sign(path.read_bytes()))
    own, wrong = pem(tmp_path, key.public_key()), pem(tmp_path, other.public_key(), "other.pem")
    model = await prove(path, None, BUDGET, time.perf_counter, (wrong, own))
    assert model.word == "ok"
    assert "its signature is by none of" in await attempt(path, (wrong,))
    path.write_bytes(graphs.model(text=graphs.card(version="1.1")))
    assert "its signature is by none of" in await attempt(path, (own,))


async def test_signatures_and_keys_that_are_none(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    path = graphs.put(tmp_path, graphs.model())
    own = pem(tmp_path, key.public_key())
    assert (await attempt(path, (own,))).startswith("missing: ")
    trust.signature_of(path).write_bytes(key.sign(path.read_bytes())[:-1])
    assert "has 63 bytes, an Ed25519 signature has 64" in await attempt(path, (own,))
    trust.signature_of(path).write_bytes(key.sign(path.read_bytes()))
    (tmp_path / "text.pem").write_text("not a key")
    assert "is no Ed25519 public key" in await attempt(path, (tmp_path / "text.pem",))
    assert (await attempt(path, (tmp_path / "none.pem",))).startswith("missing: ")


async def test_with_a_pinned_hash_and_a_key_both_must_hold(tmp_path: Path) -> None:
    path = graphs.put(tmp_path, graphs.model())
    own = pem(tmp_path, Ed25519PrivateKey.generate().public_key())
    trust.signature_of(path).write_bytes(bytes(64))
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert "its signature is by none of" in await attempt(path, (own,), pinned=right)


def test_the_vectors_of_rfc_8032(tmp_path: Path) -> None:
    """Section 7.1, tests 1 to 3: public key, message, signature."""
    for public, message, signature in (
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ):
        key = pem(tmp_path, Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)))
        path = graphs.put(tmp_path, bytes.fromhex(message))
        trust.signature_of(path).write_bytes(bytes.fromhex(signature))
        trust.check_signature(path, bytes.fromhex(message), (key,))
        with pytest.raises(ModelRefused, match="by none of"):
            trust.check_signature(path, bytes.fromhex(message) + b"\0", (key,))
