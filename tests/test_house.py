"""The limits of docs/contributing.rst, counted in the source itself."""

import ast
import io
import re
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "skvit"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TEXTS = [
    path
    for folder in ("skvit", "tests", "examples", "docs", ".ci")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".rst", ".md", ".toml", ".txt", ""} and path.is_file()
]

MAX_CODE_LINES = 300
MAX_LINES = 600
MAX_LINES_OF_ESTIMATORS = 800
MAX_BODY_LINES = 50
MAX_NETWORK_PARAMETERS = 14
MAX_ESTIMATOR_PARAMETERS = 32
MAX_PUBLIC_METHODS = 12
MAX_INHERITANCE = 2

# Modules without a test file of their own, each with the tests that cover it.
TESTED_ELSEWHERE = {
    "_utils/_sklearn.py": "only re-exports names, which every estimator's tests use",
}
IMPORTED_AS = {"scikit-learn": "sklearn", "pillow": "PIL"}
PARDON = re.compile(r"pragma: no (?:cover|branch)|noqa|type: ignore")
REASONED_PARDON = re.compile(
    r"(?:pragma: no (?:cover|branch)|noqa: [A-Z]+\d+|type: ignore\[[\w-]+\])\W+\w+ \w+"
)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|opt|work|Users)/\w")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def name_of(path):
    """Path relative to the repository, as the id of a test."""
    return path.relative_to(ROOT).as_posix()


each_module = pytest.mark.parametrize("module", MODULES, ids=name_of)
each_test = pytest.mark.parametrize("module", TESTS, ids=name_of)


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def nodes(path, kinds):
    return [node for node in ast.walk(parse(path)) if isinstance(node, kinds)]


def docstring_lines(tree):
    """Numbers of the lines taken by docstrings."""
    owners = (ast.Module, ast.ClassDef, *FUNCTIONS)
    documented = (
        node.body[0]
        for node in ast.walk(tree)
        if isinstance(node, owners) and ast.get_docstring(node) is not None
    )
    return {i for node in documented for i in range(node.lineno, node.end_lineno + 1)}


def tokens(path):
    return tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline)


def comments(path):
    return [token.string for token in tokens(path) if token.type == tokenize.COMMENT]


def code_lines(path):
    """Numbers of the lines that are neither blank, nor comment, nor docstring."""
    layout = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    code = {
        line
        for token in tokens(path)
        if token.type not in layout
        for line in range(token.start[0], token.end[0] + 1)
    }
    return code - docstring_lines(parse(path))


def body_length(function):
    """Lines from the first statement after the docstring to the end."""
    body = function.body[ast.get_docstring(function) is not None :]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def imports(path):
    """Dotted names of the modules that a module imports."""
    plain = [a.name for node in nodes(path, ast.Import) for a in node.names]
    return plain + [node.module for node in nodes(path, ast.ImportFrom)]


def base_names(node):
    return {ast.unparse(base).split(".")[-1] for base in node.bases}


def methods(node):
    return [item for item in node.body if isinstance(item, FUNCTIONS)]


def is_property(method):
    return "property" in map(ast.unparse, method.decorator_list)


def defines_fit(path):
    classes = nodes(path, ast.ClassDef)
    return any(method.name == "fit" for node in classes for method in methods(node))


def test_the_package_is_seen():
    assert PACKAGE / "__init__.py" in MODULES


@each_module
def test_module_size(module):
    lines = len(module.read_text(encoding="utf-8").splitlines())
    limit = MAX_LINES_OF_ESTIMATORS if defines_fit(module) else MAX_LINES
    assert lines <= limit
    assert len(code_lines(module)) <= MAX_CODE_LINES


@each_module
def test_function_bodies(module):
    long = {
        function.name: length
        for function in nodes(module, FUNCTIONS)
        if (length := body_length(function)) > MAX_BODY_LINES
    }
    assert not long


@each_module
def test_constructor_parameters(module):
    for node in nodes(module, ast.ClassDef):
        network = "Module" in base_names(node)
        limit = MAX_NETWORK_PARAMETERS if network else MAX_ESTIMATOR_PARAMETERS
        for method in methods(node):
            if method.name == "__init__":
                arguments = method.args.args[1:] + method.args.kwonlyargs
                assert len(arguments) <= limit, node.name


@each_module
def test_public_methods(module):
    for node in nodes(module, ast.ClassDef):
        public = [
            method.name
            for method in methods(node)
            if not method.name.startswith("_") and not is_property(method)
        ]
        assert len(public) <= MAX_PUBLIC_METHODS, f"{node.name}: {public}"


def test_inheritance_among_own_classes():
    bases = {
        node.name: base_names(node)
        for module in MODULES
        for node in nodes(module, ast.ClassDef)
        if not node.name.endswith("Mixin")
    }

    def depth(name):
        own = [depth(base) for base in bases[name] if base in bases]
        return 1 + max(own, default=0)

    assert {name: depth(name) for name in bases if depth(name) > MAX_INHERITANCE} == {}


@each_module
def test_module_has_its_tests(module):
    relative = module.relative_to(PACKAGE)
    if relative.name == "__init__.py" or relative.as_posix() in TESTED_ELSEWHERE:
        return
    *folders, stem = (part.lstrip("_") for part in relative.with_suffix("").parts)
    assert (ROOT / "tests").joinpath(*folders, f"test_{stem}.py").is_file()


def test_list_of_untested_modules_is_current():
    assert all((PACKAGE / name).is_file() for name in TESTED_ELSEWHERE)


@each_module
def test_imports_are_absolute(module):
    assert all(node.level == 0 for node in nodes(module, ast.ImportFrom))


def test_imports_are_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = project["dependencies"] + extras["plot"] + extras["images"]
    names = {re.match(r"[\w-]+", entry)[0] for entry in declared}
    names = {IMPORTED_AS.get(name, name) for name in names} | {"skvit"}
    imported = {
        name.partition(".")[0] for module in MODULES for name in imports(module)
    }
    assert imported - set(sys.stdlib_module_names) <= names


@each_module
def test_no_assert_in_the_package(module):
    assert not nodes(module, ast.Assert)


@pytest.mark.parametrize("module", sorted((PACKAGE / "nn").glob("*.py")), ids=name_of)
def test_forward_names_shapes(module):
    for function in nodes(module, ast.FunctionDef):
        if function.name == "forward" and ast.unparse(function.returns) != "None":
            assert re.search(r"\(\w+, |shape", ast.get_docstring(function) or "")


@pytest.mark.parametrize("module", MODULES + TESTS, ids=name_of)
def test_pardons_give_code_and_reason(module):
    pardons = [comment for comment in comments(module) if PARDON.search(comment)]
    bare = [comment for comment in pardons if not REASONED_PARDON.search(comment)]
    assert not bare


@each_test
def test_expected_errors_match_a_message(module):
    for node in nodes(module, ast.Call):
        if ast.unparse(node.func) in {"pytest.raises", "pytest.warns"}:
            given = {keyword.arg for keyword in node.keywords}
            assert given & {"match", "check"}, f"line {node.lineno}"


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_no_path_of_a_machine(path):
    assert not MACHINE_PATH.search(path.read_text(encoding="utf-8"))
