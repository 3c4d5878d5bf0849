"""The project runs on the oldest Python that pyproject.toml lets it be installed for."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NEWER_THAN_3_10 = {
    "typing": "Self Never LiteralString NotRequired Required TypeVarTuple Unpack assert_never assert_type reveal_type "
    "override dataclass_transform get_overloads clear_overloads TypeAliasType ReadOnly TypeIs NoDefault",
    "enum": "StrEnum ReprEnum EnumCheck CONTINUOUS NAMED_FLAGS UNIQUE global_enum member nonmember verify",
    "datetime": "UTC",
    "contextlib": "chdir",
    "itertools": "batched",
    "asyncio": "TaskGroup Runner Barrier timeout",
    "hashlib": "file_digest",
    "math": "cbrt exp2 sumprod",
    "operator": "call",
    "collections.abc": "Buffer",
    "warnings": "deprecated",
    "tomllib": "*",
    "wsgiref.types": "*",
}
"""By module of the standard library, what pyproject.toml's oldest Python, 3.10, does not have."""


@pytest.mark.parametrize("file", sorted((ROOT / "dem").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT)))
def test_the_oldest_python_has_all_that_is_imported(file):
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 10))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in NEWER_THAN_3_10:
            newer = NEWER_THAN_3_10[node.module].split()
            assert newer != ["*"], node.module
            assert not {alias.name for alias in node.names} & set(newer), ast.unparse(node)
        if isinstance(node, ast.Import):
            assert all(NEWER_THAN_3_10.get(alias.name) != "*" for alias in node.names), ast.unparse(node)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.attr not in NEWER_THAN_3_10.get(node.value.id, "").split(), ast.unparse(node)


def test_text_is_written_and_read_in_utf_8_whatever_the_locale_says():
    left_to_the_locale = [
        f"{path.name}:{call.lineno}"
        for path in sorted((ROOT / "dem").rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("read_text", "write_text")
        and not any(keyword.arg == "encoding" for keyword in call.keywords)
    ]
    assert not left_to_the_locale
