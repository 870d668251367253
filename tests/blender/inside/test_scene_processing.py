"""Files that are opened in an empty Blender for a list of steps."""

import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import addon
import bpy
import pytest
from test_scene_assets import BOUNDS, HERE, SINGLE_MESH, build

pytestmark = pytest.mark.usefixtures("scene_handlers")

TRIANGLE = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"

SMALL = {"width": 16, "height": 16, "samples": 1}

PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files. Nothing is left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def begun(data: Any, steps: Any, options: Any = None) -> Any:
    """A long call that has not run yet."""
    return {each.__name__: each for each in addon.scene_handlers.ALL}["process_bytes"](data, steps, options)


def process(data: Any, steps: Any, options: Any = None) -> list[Any]:
    """The results of the steps."""
    return watched(data, steps, options)[0]


def watched(data: Any, steps: Any, options: Any = None) -> tuple[list[Any], list[Any]]:
    """The results of the steps, and the progress."""
    call, progress = begun(data, steps, options), []
    while True:
        try:
            progress.append(next(call))
        except StopIteration as end:
            return end.value, progress


def saved(path: Path, **options: Any) -> bytes:
    """The current file."""
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, **options)
    return path.read_bytes()


def is_empty() -> bool:
    return not (len(bpy.data.objects) or len(bpy.data.meshes) or len(bpy.data.libraries) or bpy.data.filepath)


def test_the_results_and_the_progress() -> None:
    steps = [("list_objects", []), ["turntable", ["scene", None, {**SMALL, "count": 2}]], ("export_bytes", ["ply"])]
    (names, pictures, ply), progress = watched(TRIANGLE, steps)
    assert (names, [picture[:4] for picture in pictures], ply[:3]) == (["file"], [PNG, PNG], b"ply")
    assert progress == [(0, 3, None), (1, 3, None), (1, 3, (1, 2)), (1, 3, (2, 2)), (2, 3, None)]
    assert is_empty()


def test_no_steps() -> None:
    assert process(TRIANGLE, []) == []


def test_a_step_changes_the_file_for_the_next_one() -> None:
    steps = [
        ("create_cube", ["Added", {"location": [5, 0, 0]}]),
        ("apply_modifiers", [None]),
        ("decimate", [None, {"ratio": 1.0}]),
        ("export_bytes", ["stl", {"objects": ["Added"]}]),
        ("list_objects", []),
    ]
    added, _applied, reduced, stl, names = process(TRIANGLE, steps)
    assert added == "Added"
    assert {each["name"] for each in reduced} == set(names) == {"Added", "file"}
    assert len(stl) == 84 + 50 * 12
    assert is_empty()


@pytest.mark.parametrize("format_", HERE)
def test_all_formats(format_: str) -> None:
    build()
    data = addon.scene_handlers.groups.STEPS["export_bytes"](format_)
    described, picture = process(
        data, [("describe_scene", []), ("thumbnail", ["scene", None, SMALL])], {"format": format_}
    )
    assert described["counts"]["objects"] == (1 if format_ in SINGLE_MESH else 2)
    assert [*described["bounds"]["least"], *described["bounds"]["most"]] == pytest.approx(BOUNDS, abs=2e-3)
    assert picture[:4] == PNG
    assert is_empty()


def test_binaries_are_text_for_handlers_that_expect_text() -> None:
    """Process_bytes gets views of all binaries, and import_bytes needs one."""
    text = memoryview(b"custom")
    steps = [
        (memoryview(b"set_property"), [memoryview(b'objects["file"]["kind"]'), text]),
        (memoryview(b"get_property"), [memoryview(b'objects["file"]["kind"]')]),
        ("import_bytes", [memoryview(TRIANGLE), {memoryview(b"format"): memoryview(b"obj")}]),
        ("inspect_bytes", [memoryview(TRIANGLE)]),
        ("describe_object", [memoryview(b"file")]),
    ]
    results = process(memoryview(TRIANGLE), steps, {memoryview(b"format"): memoryview(b"obj")})
    assert results[1] == "custom"
    assert results[2] == ["file.001"]
    assert results[3] == {"format": "obj", "bytes": len(TRIANGLE)}
    assert results[4]["name"] == "file"


# Errors


@pytest.mark.parametrize(
    ("step", "kind", "said"),
    [
        (("describe_object", ["nothing"]), LookupError, r"^step 2 \(describe_object\): no object named 'nothing'"),
        (("export_bytes", ["gif"]), ValueError, r"^step 2 \(export_bytes\): no format 'gif'"),
        (("turntable", ["scene", None, {"count": 0}]), ValueError, r"^step 2 \(turntable\): count has to be"),
        (("export_file", ["/proc/no/x.stl"]), OSError, r"^step 2 \(export_file\): cannot write '/proc/no/x.stl'"),
    ],
)
def test_the_error_of_a_step_says_which_one(step: Any, kind: type[Exception], said: str) -> None:
    build()
    with pytest.raises(kind, match=said):
        process(TRIANGLE, [("list_objects", []), step])
    assert is_empty()


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([("list_objects", []), ("nothing", [])], "no handler for step 2 'nothing'; there are: append, "),
        *[
            ([(name, [])], f"no handler for step 1 '{name}'")
            for name in ("open_file", "new_file", "convert_bytes", "process_bytes", "move_vertices")
        ],
        ([("list_objects", []), ("decimate", ["file"])], r"step 2 \(decimate\): missing a required argument: 'given'"),
        ([("list_objects", [1])], r"step 1 \(list_objects\): too many"),
        ([("list_objects",)], "step 1 has to be {handler, list of arguments}"),
        ("list_objects", "the steps have to be a list"),
        ([("list_objects", [])] * 1001, "at most 1000 steps"),
    ],
)
def test_wrong_steps_leave_the_file_as_it_is(steps: Any, said: str) -> None:
    build()
    with pytest.raises(ValueError, match=said):
        process(TRIANGLE, steps)
    assert len(bpy.data.objects) == 2


def test_a_refused_file_leaves_the_current_one() -> None:
    build()
    for data in (b"", b"something", TRIANGLE.replace(b"0 1 0", b"0 nan 0"), b"BLENDER-v405"):
        with pytest.raises(ValueError, match=r"[a-z]{3} "):
            process(data, [])
    assert len(bpy.data.objects) == 2


def test_the_time_limit_is_for_all_steps() -> None:
    for steps in ([("list_objects", [])], [("turntable", ["scene", None, SMALL])]):
        with pytest.raises(TimeoutError, match="max_seconds"):
            process(TRIANGLE, steps, {"max_seconds": 0})
        assert is_empty()


# Other calls at the same time


def test_a_second_call_is_refused(tmp_path: Path) -> None:
    build()
    path = tmp_path / "file.blend"
    saved(path)
    handlers = {each.__name__: each for each in addon.scene_handlers.ALL}
    call = begun(TRIANGLE, [("list_objects", [])] * 3)
    next(call)
    for name, arguments in (("convert_bytes", (TRIANGLE, "stl")), ("new_file", ()), ("open_file", (str(path),))):
        with pytest.raises(RuntimeError, match="another call of process_bytes"):
            handlers[name](*arguments)
    with pytest.raises(RuntimeError, match="another call of process_bytes"):
        process(TRIANGLE, [])
    assert next(call) == (1, 3, None)
    call.close()
    assert is_empty()
    assert process(TRIANGLE, [("list_objects", [])]) == [["file"]]


@pytest.mark.parametrize("slices", [0, 1, 2, 3])
def test_a_call_whose_caller_is_gone(slices: int) -> None:
    call = begun(TRIANGLE, [("create_cube", ["A"]), ("turntable", ["scene", None, SMALL])])
    for _ in range(slices):
        next(call)
    call.close()
    assert "A" not in bpy.data.objects
    assert process(TRIANGLE, []) == []


def test_what_others_do_between_two_slices() -> None:
    """Somebody opens another file, as a user of a window can. The call fails or ends, and is not in the way later."""
    call = begun(TRIANGLE, [("list_objects", []), ("export_bytes", ["stl"])])
    next(call)
    addon.scene_conversion.empty()
    with pytest.raises(ValueError, match="no objects to export"):
        for _ in call:
            pass
    assert process(TRIANGLE, []) == []


# .blend files


@pytest.mark.parametrize("compress", [False, True])
def test_the_scene_of_a_blend_file(compress: bool, tmp_path: Path) -> None:
    build()
    first = bpy.context.scene
    first.name = "Häuser"
    first.render.resolution_x = 321
    other = bpy.data.scenes.new("Another")
    other.frame_end = 7
    bpy.context.window.scene = other
    bpy.context.window.scene = first
    bpy.data.materials.new("Not used").use_fake_user = True
    data = saved(tmp_path / "file.blend", compress=compress)
    steps = [
        ("describe_scene", []),
        ("describe_scene", [{"scene": "Another"}]),
        ("thumbnail", ["material", "Not used", SMALL]),
        ("export_bytes", ["glb"]),
        ("get_property", ['scenes["Häuser"].frame_end']),
    ]
    if compress and importlib.util.find_spec("zstandard") is None:  # As in the Blender of Debian.
        with pytest.raises(ValueError, match="compressed, and this Blender has no Python module zstandard"):
            process(data, steps)
        return
    described, another, _picture, glb, end = process(data, steps)
    assert (described["name"], described["render"]["width"]) == ("Häuser", 321)
    assert [*described["bounds"]["least"], *described["bounds"]["most"]] == pytest.approx(BOUNDS, abs=2e-3)
    assert (another["name"], another["frame"]["last"], end) == ("Another", 7, 25)
    assert glb[:4] == b"glTF"
    assert is_empty()


def test_a_blend_file_without_a_scene(tmp_path: Path) -> None:
    """An asset library, as `bpy.data.libraries.write` writes it."""
    build(motion=False)
    path = tmp_path / "assets.blend"
    bpy.data.libraries.write(str(path), set(bpy.data.objects))
    described = process(path.read_bytes(), [("describe_scene", [])])[0]
    assert (described["name"], described["counts"]["objects"]) == ("Scene", 2)


@pytest.mark.parametrize("to", [format_ for format_ in HERE if format_ not in ("usd", "usda")])
def test_convert_a_blend_file(to: str, tmp_path: Path) -> None:
    build()
    handlers = {each.__name__: each for each in addon.scene_handlers.ALL}
    data = handlers["convert_bytes"](saved(tmp_path / "file.blend"), to)
    assert is_empty()
    bounds = process(data, [("describe_scene", [])], {"format": to})[0]["bounds"]
    assert [*bounds["least"], *bounds["most"]] == pytest.approx(BOUNDS, abs=2e-3)


def test_the_content_of_a_blend_file_is_described(tmp_path: Path) -> None:
    build()
    handlers = {each.__name__: each for each in addon.scene_handlers.ALL}
    for name in ("file.blend", "file.stl"):
        path = tmp_path / name
        if path.suffix == ".blend":
            saved(path)
        else:
            handlers["export_file"](str(path))
        from_file = handlers["inspect_file"](str(path))
        from_bytes = handlers["inspect_bytes"](memoryview(path.read_bytes()))
        assert from_bytes == {key: value for key, value in from_file.items() if key not in ("path", "missing")}
