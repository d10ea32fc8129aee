"""Every mistake in models.yaml names file, line, entry and remedy, and stops nothing else."""

from pathlib import Path

import pytest

from server.domain.errors import ModelNotFoundError, ModelUnavailableError
from server.domain.models import ModelState
from tests.registry.yaml_files import HEAD, ONE, entry, registry

SHORT = "{hub: a/b, revision: 1234567}"
BRANCH = "{hub: a/b, revision: main}"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# The bad entry begins on line 11: two lines of head, eight of the sound one.
CASES = {
    "an unknown key": ({"colour": "red"}, 19, "unknown key 'colour'; known keys: id, name"),
    "a misspelled key": ({"licence": "-", "license": "MIT"}, 18, "did you mean 'licence'?"),
    "a misspelled key of a source": (
        {"source": "{random: sdxl, shaa256: x}"},
        14,
        "unknown key 'source.shaa256'; did you mean 'sha256'?",
    ),
    "a wrong type": ({"gated": '"yes"'}, 16, "'gated' is \"yes\", but should be a valid boolean"),
    "a number for words": ({"name": "7"}, 12, "'name' is 7, but should be a valid string"),
    "a missing key": ({"description": "-"}, 11, "key 'description' is missing; add it"),
    "a key that stands twice": ({"gated": "false\n    gated: true"}, 17, "twice; remove one"),
    "an id with spaces": ({"id": "a b"}, 11, "'id' is \"a b\", but string should match"),
    "a branch for a commit": (
        {"source": BRANCH},
        14,
        "revision 'main' is no whole commit hash, so it may change; write its 40 letters, or null "
        "and run `greenroom models pin ID`",
    ),
    "a short commit": ({"source": SHORT}, 14, "'source.revision' is 1234567, but should be"),
    "a short commit in quotes": (
        {"source": '{hub: a/b, revision: "1234567"}'},
        14,
        "revision '1234567' is no whole commit hash",
    ),
    "a url without checksum": ({"source": "{url: https://a.example/b.safetensors}"}, 14, "sha256"),
    "two sources in one": (
        {"source": "{random: sdxl, folder: x}"},
        14,
        "a source is exactly one of hub, url, folder, single_file, bundled, random; this one has "
        "folder and random",
    ),
    "no source": ({"source": "-"}, 11, "it has no source; add `source:"),
    "a base that is not there": (
        {
            "source": "-",
            "base": "two",
            "parts": f"[{{kind: unet, source: {{hub: a/b, revision: "
            f"{COMMIT}, file: c.safetensors}}}}]",
        },
        18,
        "there is no model 'two'; name the id of another entry",
    ),
    "an unknown parameter": ({"defaults": "{cfg: 7}"}, 19, "sdxl has no parameter 'cfg'; known:"),
    "an unknown profile": ({"profiles": "[exact, quick]"}, 19, "'profiles.1' is \"quick\""),
    "no profile at all": ({"profiles": "[]"}, 19, "'profiles'"),
    "a profile among defaults": (
        {"defaults": "{profile: memory}"},
        19,
        "the default is the first of profiles; write it there",
    ),
    "a default out of range": ({"defaults": "{guidance_scale: 90}"}, 19, "90 is outside 1 to 20"),
    "a default that is half a step": (
        {"defaults": "{num_inference_steps: 2.5}"},
        19,
        "2.5 should be a whole number",
    ),
    "an unknown scheduler": ({"schedulers": "[ddpm]"}, 19, "no scheduler 'ddpm'; known: euler"),
    "an unknown style": ({"styles": "[noir]"}, 19, "there is no style 'noir'; known: none"),
    "an unknown set of sizes": ({"sizes": "big"}, 18, "no set of sizes 'big'; known: none"),
    "a size between the steps": ({"sizes": '{"1:1": 100x100}'}, 18, "100x100 is no size"),
    "an alias for a value": ({"description": "*x"}, 17, "anchors and aliases are not read"),
    "a tag": ({"description": "!!python/name:os.system x"}, 17, "is not read; write a plain"),
    "a remote family": ({"family": "remote"}, 13, "use sdxl or flux"),
    "a task its family lacks": ({"task": "edit"}, 19, "sdxl has no models of task edit; it has"),
    "random weights that repaint": ({"task": "fill"}, 14, "random weights draw from words only"),
    "a single file that repaints": (
        {"task": "fill", "source": "{single_file: a.safetensors}"},
        14,
        "a single file of task fill is not read; use a hub repo or a folder",
    ),
    "a default picture": ({"defaults": "{mask: x}"}, 19, "'mask' belongs to one picture and has"),
    "a default pair": ({"defaults": "{target_size: 7}"}, 19, "has no default; remove it"),
    "limits of a pair": ({"limits": "{target_size: [1, 2]}"}, 19, "'target_size' is no number"),
    "a name that leads out": (
        {"source": "{bundled: ../../etc}"},
        14,
        "'../../etc' leads out of its folder; name a file inside it",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_named_and_leaves_the_other_models(case: str, tmp_path: Path) -> None:
    fields, line, said = CASES[case]
    found = registry(tmp_path, HEAD + ONE + entry("bad", **fields))
    (broken,) = found.broken()
    assert f"models.yaml:{line}: " in broken.reason
    assert said in broken.reason
    assert broken.id == "entry-2" if "id" in fields else broken.id == "bad"
    assert f"entry '{broken.id}': " in broken.reason
    assert [info.id for info in found.infos()] == ["one", broken.id]
    assert found.status(broken.id) == (ModelState.BROKEN, broken.reason)
    assert found.status("one")[0] is ModelState.MISSING
    with pytest.raises(ModelUnavailableError, match="is broken: entry"):
        found.engine_model(broken.id)


@pytest.mark.parametrize("suffix", ["ckpt", "pt", "bin", "pth", "pkl"])
@pytest.mark.parametrize(
    "source",
    [
        "{{single_file: model.{0}}}",
        "{{url: https://a.example/m.{0}?x=1, sha256: {1}}}",
        "{{hub: a/b, revision: null, file: m.{0}}}",
    ],
)
def test_pickles_are_refused_wherever_they_come_from(
    suffix: str, source: str, tmp_path: Path
) -> None:
    text = entry("bad", source=source.format(suffix.upper(), "0" * 64))
    (broken,) = registry(tmp_path, HEAD + ONE + text).broken()
    assert broken.reason == (
        f"entry 'bad': models.yaml:14: '.{suffix}' files are pickles, which can run code when "
        "opened; use a .safetensors file"
    )


def test_the_second_of_two_equal_ids_is_broken_and_the_first_stays(tmp_path: Path) -> None:
    found = registry(tmp_path, HEAD + ONE + entry("one"))
    (broken,) = found.broken()
    assert broken.reason == (
        "entry 'one': models.yaml:11: id 'one' is taken at models.yaml:3; rename one"
    )
    assert [info.id for info in found.infos()] == ["one", "one.2"]
    assert found.info("one").name == "One"


def test_several_mistakes_of_one_entry_are_all_told(tmp_path: Path) -> None:
    found = registry(tmp_path, HEAD + ONE + entry("bad", gated="1", licence="-", sizes="{}"))
    reason = found.broken()[0].reason
    assert reason.count("models.yaml:") == 3


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("models: [\n", 2, "this is no YAML"),
        ("a: b\n\tc: d\n", 2, "this is no YAML"),
        (b"models:\n  - \xff\xfe\n", 2, "no UTF-8"),
        ("- one\n- two\n", 1, "the file must be keys and values"),
        ("models: {}\n", 1, "models must be a list"),
        ("x: 1\n---\ny: 2\n", 3, "a second document begins"),
        ("a: " + "[" * 5000 + "]" * 5000, 1, "levels deep"),
        ("a: '" + "x" * 600_000 + "'", 1, "more than 512 KiB"),
    ],
)
def test_a_file_that_cannot_be_read_is_listed_itself(
    text: str | bytes, line: int, said: str, tmp_path: Path
) -> None:
    found = registry(tmp_path, text)
    assert found.broken()[0].reason.startswith(f"models.yaml:{line}: ")
    assert said in found.broken()[0].reason
    assert found.infos()[0].id == "models.yaml"
    assert found.entries() == ()
    with pytest.raises(ModelNotFoundError):
        found.info(None if found.default == "" else "one")


def test_a_missing_file_is_told_and_the_overlay_still_counts(tmp_path: Path) -> None:
    found = registry(tmp_path, HEAD, overlay="models:\n" + ONE)
    (tmp_path / "models.yaml").unlink()
    assert found.broken()[0].reason == (
        "models.yaml:1: the file is missing; restore it, or set GREENROOM_MODELS to another"
    )
    assert found.info("one").name == "One"


def test_many_aliases_of_aliases_are_refused_without_growing(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    found = registry(tmp_path, "\n".join(lines) + "\nmodels:\n" + ONE)
    assert found.info("one").name == "One"
    assert all("unknown key" in b.reason or "not read" in b.reason for b in found.broken())


def test_a_mistake_at_the_top_leaves_the_models(tmp_path: Path) -> None:
    found = registry(tmp_path, "default: two\naliases: {a: three}\ncolour: 1\nmodels:\n" + ONE)
    said = [broken.reason for broken in found.broken()]
    assert any(s.startswith("models.yaml:3: unknown key 'colour'") for s in said)
    assert any(s.startswith("models.yaml:1: there is no model 'two'") for s in said)
    assert any(s.startswith("models.yaml:2: there is no model 'three'") for s in said)
    assert found.info("one").name == "One"
    with pytest.raises(ModelNotFoundError, match="no model 'two'"):
        found.info(None)
