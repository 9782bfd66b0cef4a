"""The documents: commands run, flags exist, quoted code and named files are there, links lead on.

A fenced block without a language is a shell script. One that cannot be run has a mark before it:
`<!-- flags-only -->` (its flags are checked, nothing is run) or `<!-- not-run: why -->`. A Python
block with a file's name as its title is that file; other Python blocks are scripts.
"""

import importlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from absl import flags as absl_flags

_ROOT = Path(__file__).parent.parent
_DOCUMENTS = sorted(
    [_ROOT / name for name in ("README.md", "BUILD.md", "CONTRIBUTING.md")]
    + list((_ROOT / "docs").rglob("*.md"))
)
# The other recipes have tests beside those of what they extend.
_RECIPES = [
    path
    for path in sorted((_ROOT / "docs" / "extending").glob("*.md"))
    if "```python title=" in path.read_text()
]
_COMMANDS = (
    "data_prep.main data_prep.verify trainer.main trainer.preview trainer.preflight "
    "trainer.summary ensemble.main ensemble.predict ensemble.label_issues "
    "ensemble.soup ensemble.explain ensemble.serve"
).split()
# Flags in code spans that belong to other programs.
_FOREIGN_FLAGS = {"service-account", "help", "runner"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language line, its text, and the mark before it."""

    info: str
    text: str
    mark: str

    @property
    def is_script(self) -> bool:
        return self.info in ("", "bash")

    @property
    def is_run(self) -> bool:
        return not self.mark and (self.is_script or self.info == "python")

    @property
    def title(self) -> str:
        """The file that a block of Python quotes (it has a folder), or is (it has none)."""
        found = re.search(r'title="([^"]+)"', self.info)
        return found[1] if found else ""


def _name(path):
    return str(path.relative_to(_ROOT))


def _blocks(path):
    found = re.findall(
        r"(?:<!-- (flags-only|not-run: [^>]+) -->\n)?^```([^\n]*)\n(.*?)^```$",
        path.read_text(),
        re.M | re.S,
    )
    return [Block(info.strip(), text, mark) for mark, info, text in found]


def _prose(path):
    return re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)


@cache
def _flags_of(module):
    """Names of a command's flags; those of a benchmark are read off its source."""
    if module in _COMMANDS:
        options = importlib.import_module(module).OPTIONS
        return {flag.name for kind in options for flag in kind.flag_fields()} | {"plugins"}
    path = _ROOT / Path(*module.split("."))
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    source = "\n".join(file.read_text() for file in files)
    found = re.findall(r'DEFINE_\w+\(\s*"(\w+)"|"--(\w+)"', source)
    return {name for pair in found for name in pair if name}


def _knows(names, flag):
    known = names | set(absl_flags.FlagValues()) | {"flagfile", "undefok", "verbosity", "help"}
    return flag in known or flag.removeprefix("no") in known


def _commands(script):
    """(module, its flags) of each `python -m` command of ours in a script."""
    lines = script.replace("\\\n", " ").splitlines()
    for line in lines:
        # What is in quotes is another program's, as are the flags of `python -m pytest`.
        line = re.sub(r'"[^"]*"|\s#.*', " ", line)
        parts = re.split(r"python -m |python (?=benchmarks/)", line)[1:]
        for part in parts:
            module = re.match(r"[\w./]+", part)[0].removesuffix(".py").replace("/", ".")
            if module.split(".")[0] in ("data_prep", "trainer", "ensemble", "benchmarks", "tests"):
                arguments = re.split(r"&&|\||;|`", part)[0]
                yield module, re.findall(r"(?<=\s)--([\w-]+)", arguments)


@pytest.mark.parametrize("path", _DOCUMENTS, ids=_name)
def test_command_in_document_has_only_flags_that_exist(path):
    blocks = [block.text for block in _blocks(path) if block.is_script]
    # Those that a recipe's own class adds.
    added = set(re.findall(r"^ +(\w+): \w+ = option\(", path.read_text(), re.M))
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", _prose(path), re.S)]
    unknown = [
        f"{module} --{flag}"
        for script in [*blocks, *spans]
        for module, found in _commands(script)
        for flag in found
        if not _knows(_flags_of(module) | added, flag)
    ]
    assert unknown == []


@pytest.mark.parametrize("path", _DOCUMENTS, ids=_name)
def test_flag_named_in_prose_is_a_flag_of_some_command(path):
    folder = _ROOT / "benchmarks"
    files = [*folder.glob("*.py"), *(main.parent for main in folder.glob("*/__main__.py"))]
    benchmarks = [f"benchmarks.{one.stem}" for one in files]
    everything = set().union(
        *map(_flags_of, [*_COMMANDS, *benchmarks, "tests.gcs_server", "tests.torture"])
    )
    named = {
        flag
        for span in re.findall(r"`(--[^`]+)`", _prose(path))
        for flag in re.findall(r"--([\w-]+)", span)
    }
    named -= _FOREIGN_FLAGS
    assert [flag for flag in sorted(named) if not _knows(everything, flag)] == []


@pytest.mark.parametrize("path", _DOCUMENTS, ids=_name)
def test_code_quoted_in_document_is_in_the_file_that_it_names(path):
    for block in _blocks(path):
        if "/" in block.title:
            source = [line.strip() for line in (_ROOT / block.title).read_text().splitlines()]
            quoted = [line.strip() for line in block.text.splitlines()]
            found = any(source[at : at + len(quoted)] == quoted for at in range(len(source)))
            assert found, f"{block.title} has no such line: {block.text}"


@pytest.mark.parametrize("path", _DOCUMENTS, ids=_name)
def test_file_named_in_document_exists(path):
    named = re.findall(
        r"`((?:orchard|data_prep|trainer|ensemble|benchmarks|tests|examples|docs)/[\w/.*-]*)`",
        _prose(path),
    )
    assert [name for name in named if not list(_ROOT.glob(name))] == []


def test_every_target_of_make_can_be_made():
    targets = re.findall(r"^([a-z-]+):.*## ", (_ROOT / "Makefile").read_text(), re.M)
    assert {"demo", "demo-quick", "test", "lint", "docs"} <= set(targets)
    done = subprocess.run(["make", "-n", *targets], cwd=_ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr


def test_architecture_picture_names_modules_that_exist():
    picture = (_ROOT / "docs" / "images" / "architecture.svg").read_text()
    found = re.findall(r'class="(title|module)"[^>]*>([^<]+)<', picture)
    package, modules = "", []
    for kind, text in found:
        if kind == "title":
            package = text
        elif package:
            modules += [f"{package}/{name}" for name in text.split()]
    assert len(modules) > 15
    assert [name for name in modules if not (_ROOT / name).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "BUILD.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_link_of_root_document_leads_to_a_file_and_a_heading(name):
    text = (_ROOT / name).read_text()
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        path = _ROOT / (file or name)
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
            assert anchor in {_anchor(heading) for heading in headings}, target


def _anchor(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_table_of_tpus_is_what_the_benchmark_makes_of_its_results(tmp_path):
    page = _ROOT / "docs" / "benchmarks.md"
    copy = tmp_path / "benchmarks.md"
    copy.write_text(
        re.sub(r"(?<=tpu_table: begin -->\n).*?(?=<!--)", "", page.read_text(), flags=re.S)
    )
    assert copy.read_text() != page.read_text()
    subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.tpu_table", "--nocompile"),
            *("--groups=article_224,article", f"--write_to={copy}"),
        ],
        check=True,
        capture_output=True,
        cwd=_ROOT,
    )
    assert copy.read_text() == page.read_text()


@pytest.mark.slow  # CI builds it with --strict anyway, by `make docs`.
def test_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=_ROOT,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "reference" / "flags" / "index.html").read_text()
    assert "<code>--image_size</code>" in page


@pytest.fixture
def small_checkout(tmp_path):
    """The examples in small: 240 and 40 images, and recipes that train for a few steps."""
    source, target = _ROOT / "examples", tmp_path / "examples"
    images = target / "fashion_mnist" / "images"
    images.mkdir(parents=True)
    for name, rows in (("train.csv", 240), ("test.csv", 40), ("test_labels.csv", 40)):
        lines = (source / "fashion_mnist" / name).read_text().splitlines()[: rows + 1]
        (target / "fashion_mnist" / name).write_text("\n".join(lines) + "\n")
        for line in lines[1:]:
            file = line.split(",")[0] + ".jpg"
            shutil.copy(source / "fashion_mnist" / "images" / file, images)
    (target / "recipes").mkdir()
    for seed, path in enumerate(sorted((source / "recipes").glob("demo_*.flags"))):
        (target / "recipes" / path.name).write_text(
            "--architecture=vgg_small\n--image_size=28\n--weights=none\n--epochs=1\n"
            f"--batch_size=32\n--noprogress\n--seed={seed}\n"
        )
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return tmp_path


def _run(block, folder):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}:{_ROOT}",
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }
    command = ["bash", "-eu", "-c"] if block.is_script else [sys.executable, "-c"]
    done = subprocess.run(
        [*command, block.text], capture_output=True, text=True, cwd=folder, env=environment
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.timeout(1800)
def test_tutorial_from_its_first_command_to_its_last_runs(small_checkout):
    blocks = [block for block in _blocks(_ROOT / "docs" / "tutorial.md") if block.is_run]
    assert len(blocks) >= 8
    for block in blocks:
        _run(block, small_checkout)
    made = small_checkout / "demo_output"
    assert (made / "ensemble" / "report.html").exists()
    assert (made / "folder.csv").read_text().count("\n") == 281


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("recipe", _RECIPES, ids=lambda path: path.stem)
def test_recipe_from_outside_the_packages_runs(recipe, small_checkout):
    ran = 0
    for block in _blocks(recipe):
        if block.title:
            (small_checkout / block.title).write_text(block.text)
        elif block.is_run:
            _run(block, small_checkout)
            ran += 1
    assert ran
