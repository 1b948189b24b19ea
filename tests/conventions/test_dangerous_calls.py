"""Calls that turn words into code, and weak hashes: nowhere in what is served."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.access.tokens import ALGORITHMS
from api.ground.algorithms import CIPHERS, HASHES
from clinical_mm.digests import NAMED_BY

REPOSITORY = Path(__file__).parents[2]
SOURCES = [p for room in ("api", "clinical_mm", "migrations") for p in sorted((REPOSITORY / room).rglob("*.py"))]
FORBIDDEN = {
    "eval": "runs its words",
    "exec": "runs its words",
    "compile": "makes code of its words",
    "os.system": "is a shell",
    "os.popen": "is a shell",
    "subprocess.getoutput": "is a shell",
    "pickle.load": "runs what a file says",
    "pickle.loads": "runs what a file says",
    "marshal.loads": "reads code",
    "yaml.load": "makes objects of any class: safe_load",
    "yaml.unsafe_load": "makes objects of any class",
    "torch.load": "may unpickle: safetensors",
    "hashlib.md5": "is broken",
    "hashlib.sha1": "is broken",
    "random.choice": "can be foreseen: secrets, or numpy for science",
}


def calls(path: Path) -> Iterator[tuple[int, str, ast.Call]]:
    """Every call of a file by its dotted name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), node


def _tensors_alone(call: ast.Call) -> bool:
    """torch.load(weights_only=True) makes tensors and nothing else."""
    return any(
        k.arg == "weights_only" and isinstance(k.value, ast.Constant) and k.value.value is True for k in call.keywords
    )


def test_no_words_become_code_and_no_broken_hash_is_used() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}: {name} {FORBIDDEN[name]}"
        for path in SOURCES
        for line, name, call in calls(path)
        if name in FORBIDDEN and not _tensors_alone(call)
    ]
    assert found == []


def test_no_process_is_started_by_a_shell() -> None:
    shells = [
        f"{path.relative_to(REPOSITORY)}:{line}"
        for path in SOURCES
        for line, _, call in calls(path)
        if any(
            k.arg == "shell" and not (isinstance(k.value, ast.Constant) and k.value.value is False)
            for k in call.keywords
        )
    ]
    assert shells == []


def test_what_is_signed_is_signed_by_sha_256() -> None:
    """OWASP ASVS 5.0, appendix C: SHA-1, itsdangerous' own choice, is not suitable for HMAC any longer."""
    signers = [(path, call) for path in SOURCES for _, name, call in calls(path) if name.startswith("URLSafe")]
    assert signers
    assert [str(path) for path, call in signers if "signer_kwargs" not in {k.arg for k in call.keywords}] == []


def test_algorithms_are_chosen_in_two_places_alone_and_each_is_in_the_inventory() -> None:
    """OWASP ASVS 5.0, V11.2.2: what may have to be swapped one day is not spread over the code."""
    chooses = re.compile(r"^\s*(?:import|from) hashlib|\bhmac\.(?:new|digest)\b|ciphers\.aead|\bPasswordHasher\(", re.M)
    found = {str(path.relative_to(REPOSITORY)) for path in SOURCES if chooses.search(path.read_text(encoding="utf-8"))}
    frozen = {"migrations/versions/0010_trail.py"}  # it did what it did
    assert found - frozen == {"api/ground/algorithms.py", "clinical_mm/digests.py"}
    inventory = (REPOSITORY / "docs" / "cryptography.md").read_text(encoding="utf-8")
    named = [*HASHES, NAMED_BY, *(cipher.name for cipher in CIPHERS.values()), *ALGORITHMS, "argon2id"]
    assert [name for name in named if f"`{name}`" not in inventory] == []


def test_what_seals_is_on_the_list_of_approved_modes() -> None:
    """OWASP ASVS 5.0, appendix C: of the ciphers GCM and CCM, authenticated both."""
    assert {cipher.name for cipher in CIPHERS.values()} <= {"AES-256-GCM", "AES-256-CCM"}


@pytest.mark.parametrize("parser", ["xml.etree", "lxml", "xml.dom", "xml.sax"])
def test_no_xml_is_parsed(parser: str) -> None:
    assert [str(path) for path in SOURCES if f"import {parser}" in path.read_text(encoding="utf-8")] == []
