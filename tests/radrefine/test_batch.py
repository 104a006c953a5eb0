"""A collection is cleaned completely, in any way of running, and an interrupted run goes on where it stopped."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import radrefine.refine
from radrefine import cleaning
from radrefine.audit.collection import load_manifest
from radrefine.batch import CleanOptions, CleanSummary, clean_collection, plan_collection
from radrefine.errors import RefinedFolderError, SourceError, UsageError
from radrefine.images import decode_image, encode_png
from radrefine.outputs import locked
from radrefine.progress import Progress
from radrefine.records import Finding, Image, RefineResult
from radrefine.refine import RefineOptions
from radrefine.removals import write_removals
from radrefine.report import build_report
from radrefine.schema import FAILURE_COLUMNS, FINDING_COLUMNS, KINDS, MANIFEST_COLUMNS

Make = Callable[..., Path]
HERE = CleanOptions(jobs=1, backend="threading")


@pytest.fixture(autouse=True)
def blacken_bright_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where workers are threads, refine by a rule that these tests can predict; processes use the real one."""

    def refine(image: Image, options: object, decisions: object = (), sight: object = None) -> RefineResult:
        mask = (image if image.ndim == 2 else image.min(axis=2)) > 200
        refined = image.copy()
        refined[mask] = 0
        findings = [Finding("text", 1, 2, 3, 4, 0.5, "bright", True)] * int(mask.any())
        return RefineResult(refined, mask, findings, 0.25)

    monkeypatch.setattr(radrefine.refine, "refine_image", refine)


def tree(folder: Path) -> dict[str, str]:
    """Hash every file of a refined folder but run.json, which holds the times of the run."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


def manifest(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "manifest.parquet").set_index("path")


def test_refined_folder_keeps_the_contract(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"

    summary = clean_collection(source, out, HERE)

    rows = manifest(out)
    assert (*rows.reset_index().columns,) == MANIFEST_COLUMNS
    assert rows.status.value_counts().to_dict() == {"refined": 12, "copied": 12, "failed": 3}
    assert summary.counts == rows.status.value_counts().to_dict() and summary.failed == 3
    jpeg = rows.loc["US/breast/benign/0.jpg.png"]
    assert (jpeg.label, jpeg.modality, jpeg.anatomy, jpeg.pathology) == ("US__breast__benign", "US", "breast", "benign")
    assert (jpeg.width, jpeg.height, jpeg.channels, jpeg.n_text, jpeg.residual_score) == (64, 48, 3, 1, 0.25)
    assert jpeg.source_sha256 == hashlib.sha256((source / "US/breast/benign/0.jpg").read_bytes()).hexdigest()
    copied = rows.loc["MR/knee/acl/0.bmp"]
    assert (copied.width, copied.height, copied.channels) == (64, 48, 1)
    assert copied[["pixel_sha256", "phash", "blank", "mask_fraction", "n_text", "residual_score"]].isna().all()
    findings = pd.read_parquet(out / "findings.parquet")
    assert (*findings.columns,) == FINDING_COLUMNS and set(findings.kind) <= set(KINDS) and len(findings) == 12
    failures = pd.read_csv(out / "failures.csv")
    assert (*failures.columns,) == FAILURE_COLUMNS
    assert set(failures.path) == {"US/thyroid/cut.png", "US/thyroid/text.png", "CT/chest/normal/empty.png"}
    run = json.loads((out / "run.json").read_text())
    assert run["schema"] == 1 and run["source"]["path"] == str(source)


def test_refined_images_and_masks_agree_and_others_keep_their_bytes(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"

    clean_collection(source, out, HERE)

    raw = decode_image((source / "US/thyroid/0.png").read_bytes())
    refined = decode_image((out / "images/US/thyroid/0.png").read_bytes())
    mask = decode_image((out / "masks/US/thyroid/0.png").read_bytes())
    assert set(np.unique(mask)) == {0, 255}
    assert np.array_equal(refined[mask == 0], raw[mask == 0]) and not refined[mask == 255].any()
    for path in ("CT/chest/normal/0.png", "MR/knee/acl/0.bmp"):
        assert (out / "images" / path).read_bytes() == (source / path).read_bytes()
        assert not (out / "images" / path).samefile(source / path)
    assert not (out / "images/US/thyroid/cut.png").exists()


def test_image_without_marks_keeps_its_bytes(
    make_collection: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = lambda image, *_: RefineResult(image, np.zeros(image.shape[:2], bool))  # noqa: E731
    monkeypatch.setattr(radrefine.refine, "refine_image", nothing)
    source, out = make_collection(), tmp_path / "out"

    clean_collection(source, out, HERE)

    assert set(manifest(out).status) == {"clean", "copied", "failed"}
    assert (out / "images/US/thyroid/0.png").read_bytes() == (source / "US/thyroid/0.png").read_bytes()
    assert not (out / "masks").exists()


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_archives_give_the_same_images_as_the_folder(form: str, make_collection: Make, tmp_path: Path) -> None:
    source = make_collection()
    archive = tmp_path / f"raw.{form}"
    paths = sorted(path for path in source.rglob("*") if path.is_file())
    if form == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in paths:
                packed.write(path, path.relative_to(source))
    else:
        with tarfile.open(archive, "w:gz" if form == "tar.gz" else "w") as tar:
            for path in paths:
                tar.add(path, path.relative_to(source))

    clean_collection(source, tmp_path / "a", HERE)
    clean_collection(archive, tmp_path / "b", HERE)

    assert {path for path in tree(tmp_path / "b") if path.startswith("masks")}
    assert tree(tmp_path / "a" / "images") == tree(tmp_path / "b" / "images")
    assert tree(tmp_path / "a" / "masks") == tree(tmp_path / "b" / "masks")
    assert manifest(tmp_path / "a").equals(manifest(tmp_path / "b"))


@pytest.mark.parametrize("options", [CleanOptions(jobs=2), CleanOptions(jobs=3, backend="threading")])
def test_result_does_not_depend_on_jobs_or_backend(
    options: CleanOptions, make_collection: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # processes can only use the real refinement
    source = make_collection(20)

    clean_collection(source, tmp_path / "a", HERE)
    clean_collection(source, tmp_path / "b", options)

    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_second_run_does_nothing_and_changes_nothing(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(damaged=False), tmp_path / "out"
    clean_collection(source, out, HERE)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.suffix != ".sqlite"}

    summary = clean_collection(source, out, HERE)

    assert (summary.done, summary.kept) == (0, 24)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_changed_added_and_removed_files_are_noticed(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"
    clean_collection(source, out, HERE)
    (source / "US/thyroid/1.png").write_bytes((source / "US/thyroid/0.png").read_bytes())
    (source / "US/thyroid/new.png").write_bytes((source / "US/thyroid/2.png").read_bytes())
    (source / "US/breast/benign/3.jpg").unlink()
    (source / "CT/chest/normal/3.png").unlink()

    summary = clean_collection(source, out, HERE)
    clean_collection(source, tmp_path / "fresh", HERE)

    assert summary.done == 2 + 3  # the changed, the new, and those that failed before
    assert tree(out) == tree(tmp_path / "fresh")


def test_touched_file_is_read_but_not_done_again(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"
    clean_collection(source, out, HERE)
    written = (out / "images/US/thyroid/0.png").stat().st_mtime_ns
    os.utime(source / "US/thyroid/0.png")

    clean_collection(source, out, HERE)

    assert (out / "images/US/thyroid/0.png").stat().st_mtime_ns == written


def test_changed_configuration_redoes_ultrasound_only(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(damaged=False), tmp_path / "out"
    clean_collection(source, out, HERE)

    other = CleanOptions(refine=radrefine.refine.RefineOptions(remove=("caliper",)), jobs=1, backend="threading")
    summary = clean_collection(source, out, other)

    assert (summary.done, summary.kept) == (12, 12)


def test_deleted_output_is_made_again(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"
    clean_collection(source, out, HERE)
    before = tree(out)
    (out / "images/US/thyroid/0.png").unlink()
    (out / "masks/US/thyroid/1.png").unlink()

    clean_collection(source, out, HERE)

    assert tree(out) == before


class Stop(Exception):
    """Raised from a progress callback, as an interruption would be."""


@pytest.mark.parametrize("after", [0, 5, 40])
def test_interrupted_run_goes_on_to_the_same_result(
    after: int, make_collection: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radrefine.cleaning._REPORT_EVERY", 0.0)
    source, out = make_collection(20), tmp_path / "out"

    def stop(state: Progress) -> None:
        if state.done >= after:
            raise Stop

    with pytest.raises(Stop):
        clean_collection(source, out, HERE, stop)
    clean_collection(source, out, HERE)
    clean_collection(source, tmp_path / "whole", HERE)

    assert tree(out) == tree(tmp_path / "whole")


def test_outputs_that_lost_their_contents_with_the_power_are_made_again(
    make_collection: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radrefine.cleaning._REPORT_EVERY", 0.0)
    source, out = make_collection(20), tmp_path / "out"

    def stop(state: Progress) -> None:
        if state.done >= 60:
            raise Stop

    with pytest.raises(Stop):
        clean_collection(source, out, HERE, stop)
    lost = sorted(path for path in (out / "images").rglob("*") if path.is_file())[:5]
    for path in lost:
        path.write_bytes(bytes(path.stat().st_size))
    monkeypatch.setattr("radrefine.cleaning.boot", lambda: "the machine was started again")
    clean_collection(source, out, HERE)
    clean_collection(source, tmp_path / "whole", HERE)

    assert lost and tree(out) == tree(tmp_path / "whole")


def test_malicious_archive_writes_nothing_outside(tmp_path: Path, make_collection: Make) -> None:
    good = (make_collection() / "US/thyroid/0.png").read_bytes()
    archive, out = tmp_path / "place" / "bad.tar", tmp_path / "place" / "out"
    archive.parent.mkdir()
    with tarfile.open(archive, "w") as tar:
        for name in ("../US/up.png", f"{tmp_path}/US/absolute.png", "US/../../../x/US/climb.png", "US/a/good.png"):
            item = tarfile.TarInfo(name)
            item.size = len(good)
            tar.addfile(item, io.BytesIO(good))
        for name, target in (("US/link", str(tmp_path)), ("US/hard.png", "US/a/good.png")):
            item = tarfile.TarInfo(name)
            item.type, item.linkname = tarfile.SYMTYPE if name == "US/link" else tarfile.LNKTYPE, target
            tar.addfile(item)
        item = tarfile.TarInfo("US/link/through.png")
        item.size = len(good)
        tar.addfile(item, io.BytesIO(good))
    before = {path for path in tmp_path.rglob("*") if out not in path.parents and path != out}

    summary = clean_collection(archive, out, HERE)

    assert {path for path in tmp_path.rglob("*") if out not in path.parents and path != out} == before
    assert summary.failed == 5 and not any(path.is_symlink() for path in out.rglob("*"))
    assert {*manifest(out).index} == {"US/a/good.png", "US/link/through.png"}


def test_run_killed_at_any_moment_goes_on_to_the_same_result(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(60), tmp_path / "out"
    code = (
        "import sys; from radrefine.batch import *; "
        "clean_collection(sys.argv[1], sys.argv[2], CleanOptions(jobs=1, backend='threading'))"
    )
    command = [sys.executable, "-c", code, str(source)]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    rng = np.random.default_rng(1)
    for _ in range(3):
        process = subprocess.Popen([*command, str(out)])
        wait_until((out / ".radrefine" / "journal.sqlite").exists)
        time.sleep(float(rng.uniform(0, 0.4)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, str(out)], check=True)

    assert tree(out) == tree(tmp_path / "whole")


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)


def test_no_mask_stays_of_an_image_that_is_only_copied_now(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(damaged=False), tmp_path / "out"
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(20, 90, (96, 128), np.uint8), (0, 0), 2)
    cv2.imwrite(str(source / "US" / "thyroid" / "0.png"), cv2.putText(image, "LIVER", (20, 60), 0, 0.5, 255, 1))
    clean_collection(source, out, HERE)
    assert list((out / "masks").rglob("*.png"))
    clean_collection(source, out, dataclasses.replace(HERE, layout="imagefolder", modality="CT"))
    assert not list((out / "masks").rglob("*.png"))


def test_worker_killed_once_costs_nothing(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(400, damaged=False), tmp_path / "out"
    killed: list[int] = []

    def kill(state: Progress) -> None:
        # Every worker has a file that names the image it is on, and is itself named for the worker.
        for beacon in (out / ".radrefine" / "tmp").glob("at-*"):
            if not killed:
                killed.append(int(beacon.name.split("-")[-2]))
                os.kill(killed[0], signal.SIGKILL)

    summary = clean_collection(source, out, CleanOptions(jobs=2), kill)

    assert killed and summary.counts["copied"] == 800 and summary.failed == 0


def test_image_that_ends_its_worker_each_time_is_named_and_the_rest_is_done(
    make_collection: Make, tmp_path: Path
) -> None:
    source, out = make_collection(10, damaged=False), tmp_path / "out"
    large = np.random.default_rng(0).integers(0, 90, (1500, 1500), np.uint8)
    (source / "US/thyroid/deadly.png").write_bytes(encode_png(large))
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.002):
            for beacon in (out / ".radrefine" / "tmp").glob("at-*"):
                with contextlib.suppress(OSError):
                    if beacon.read_text().startswith("US/thyroid/deadly.png\n"):
                        os.kill(int(beacon.name.split("-")[-2]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        summary = clean_collection(source, out, CleanOptions(jobs=2))
    finally:
        over.set()
        killer.join()

    (failure,) = pd.read_csv(out / "failures.csv").itertuples(index=False)
    assert (failure.path, failure.stage) == ("US/thyroid/deadly.png", "worker") and "twice" in failure.reason
    assert summary.failed == 1 and len(manifest(out)) == 41 and any("deadly" in note for note in summary.notes)


def test_second_run_into_the_same_folder_is_refused(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"

    with locked(out), pytest.raises(RefinedFolderError, match="another run"):
        clean_collection(source, out, HERE)


def test_names_that_would_collide_are_told(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(1, damaged=False), tmp_path / "out"
    (source / "US/breast/benign/0.jpg.png").write_bytes((source / "US/thyroid/0.png").read_bytes())

    summary = clean_collection(source, out, HERE)

    (row,) = pd.read_csv(out / "failures.csv").to_dict("records")
    assert summary.failed == 1 and row["path"] == "US/breast/benign/0.jpg.png" and "same name" in row["reason"]


def test_links_share_the_file_with_the_source(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"
    clean_collection(source, out, HERE)

    clean_collection(source, out, CleanOptions(jobs=1, backend="threading", link=True))

    assert (out / "images/CT/chest/normal/0.png").samefile(source / "CT/chest/normal/0.png")
    assert not (out / "images/US/thyroid/0.png").samefile(source / "US/thyroid/0.png")


def test_limit_takes_the_first_images(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"

    clean_collection(source, out, CleanOptions(jobs=1, backend="threading", limit=3))
    assert [*manifest(out).index] == [f"CT/chest/normal/{index}.png" for index in range(3)]

    clean_collection(source, out, HERE)
    clean_collection(source, tmp_path / "whole", HERE)
    assert tree(out) == tree(tmp_path / "whole")


def test_tables_of_a_run_that_did_not_finish_are_not_believed(
    make_collection: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = make_collection(), tmp_path / "out"
    clean_collection(source, out, HERE)
    load_manifest(out)
    with monkeypatch.context() as patch:
        patch.setattr(cleaning, "write_tables", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            clean_collection(source, out, CleanOptions(jobs=1, backend="threading", timings=True))
    for use in (load_manifest, build_report, lambda folder: write_removals(folder, source, tmp_path / "m.zip")):
        with pytest.raises(RefinedFolderError, match="did not finish; run the same command again"):
            use(out)
    clean_collection(source, out, HERE)
    load_manifest(out)


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_run_that_is_refused_at_once_leaves_a_finished_folder_finished(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"
    clean_collection(source, out, HERE)
    before = tree(out)
    other = source.rename(tmp_path / "other")
    with pytest.raises(RefinedFolderError, match="holds the refined images of"):
        clean_collection(other, out, HERE)
    assert tree(out) == before
    load_manifest(out)


def test_what_a_limit_leaves_of_earlier_runs_is_told(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"
    clean_collection(source, out, HERE)
    notes = clean_collection(source, out, CleanOptions(jobs=1, backend="threading", limit=3)).notes
    assert notes == ["24 images beyond --limit stay as earlier runs made them, by whatever options"]


def test_images_that_went_with_the_source_are_told(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"
    clean_collection(source, out, HERE)
    for index in range(2):
        (source / f"CT/chest/normal/{index}.png").unlink()
    notes = clean_collection(source, out, HERE).notes
    assert notes == [f"2 images that the source no longer holds went from {out}, the first being CT/chest/normal/0.png"]
    assert clean_collection(source, out, HERE).notes == []


def test_a_refined_folder_is_no_source_and_nothing_in_it(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"
    clean_collection(source, out, HERE)
    before = tree(out)
    with pytest.raises(UsageError, match=r"is a refined folder itself; clean what it was made from, or .*/images"):
        clean_collection(out, tmp_path / "other", HERE)
    for place in (out / "images", out / "images" / "US"):
        with pytest.raises(UsageError, match="lies in the refined folder"):
            clean_collection(place, out, HERE)
    assert tree(out) == before


def test_full_disk_ends_the_run_and_leaves_no_half_files(
    make_collection: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = make_collection(), tmp_path / "out"
    real, calls = os.write, []

    def write(handle: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 8:
            raise OSError(28, "No space left on device")
        return real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr("radrefine.outputs.os.write", write)
        with pytest.raises(OSError, match="No space"):
            clean_collection(source, out, HERE)
    for path in (out / "images").rglob("*.png"):
        decode_image(path.read_bytes())
    clean_collection(source, out, HERE)
    clean_collection(source, tmp_path / "whole", HERE)

    assert tree(out) == tree(tmp_path / "whole")


def test_dry_run_says_what_would_happen_and_writes_nothing(make_collection: Make, tmp_path: Path) -> None:
    plan = plan_collection(make_collection(), tmp_path / "out")

    assert (plan.refine, plan.copy) == (14, 13) and plan.bytes_written > 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["weights", "templates", "review"])
def test_a_plan_refuses_files_that_a_run_would_refuse_and_neither_makes_a_folder(
    name: str, make_collection: Make, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    if name == "review":
        options = CleanOptions(review=missing)
    else:
        options = CleanOptions(refine=RefineOptions(**{name: str(missing)}))  # type: ignore[arg-type]
    for start in (plan_collection, clean_collection):
        with pytest.raises(UsageError, match="missing"):
            start(make_collection(), tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backend": "spark"}, "--backend"),
        ({"scheduler": "tcp://x:1"}, "--scheduler"),
        ({"jobs": -1}, "--jobs"),
        ({"limit": 0}, "--limit"),
        ({"modality": "PET"}, "--modality"),
    ],
)
def test_wrong_options_name_the_flag(options: dict, words: str, make_collection: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        clean_collection(make_collection(), tmp_path / "out", CleanOptions(**options))


def test_places_that_would_mix_things_up_are_refused(make_collection: Make, tmp_path: Path) -> None:
    source = make_collection()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("precious")

    with pytest.raises(UsageError, match="inside the source"):
        clean_collection(source, source / "out", HERE)
    with pytest.raises(RefinedFolderError, match="not empty"):
        clean_collection(source, tmp_path / "used", HERE)
    clean_collection(source, tmp_path / "out", HERE)
    with pytest.raises(RefinedFolderError, match="holds the refined images of raw"):
        clean_collection(make_collection(name="other"), tmp_path / "out", HERE)


def test_a_damaged_journal_is_named_and_the_run_begins_anew_without_it(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"
    clean_collection(source, out, HERE)
    before = tree(out)
    for name in ("journal.parquet", "journal.sqlite"):
        (out / ".radrefine" / name).write_bytes(b"damaged" * 1000)
        with pytest.raises(RefinedFolderError, match=f"{name} is damaged .* remove it"):
            clean_collection(source, out, HERE)
        for file in (out / ".radrefine").glob("journal.sqlite*" if "sqlite" in name else name):
            file.unlink()
        clean_collection(source, out, HERE)
        assert tree(out) == before


def test_source_without_images_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "1.png").write_bytes(b"x")

    with pytest.raises(SourceError, match="no image in"):
        clean_collection(tmp_path / "empty", tmp_path / "out", HERE)
    with pytest.raises(SourceError, match="--modality US"):
        clean_collection(tmp_path / "flat", tmp_path / "out", HERE)
    assert not (tmp_path / "out").exists()


def test_error_in_the_source_ends_the_run_rather_than_hanging_it(
    make_collection: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, calls = make_collection(200, damaged=False), []

    def look(*arguments: object) -> str:
        calls.append(1)
        if len(calls) > 700:
            raise RuntimeError("a fault while listing")
        return "recipe"

    monkeypatch.setattr("radrefine.agenda.refined_name", lambda path: look() and path + ".png")
    result: list[CleanSummary | BaseException] = []

    def run() -> None:
        try:
            result.append(clean_collection(source, tmp_path / "out", CleanOptions(jobs=2, backend="threading")))
        except RuntimeError as error:
            result.append(error)

    calls.extend([1] * 500)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)

    assert isinstance(result[0], RuntimeError)


@pytest.mark.slow
def test_cluster_of_two_workers_gives_the_same_bytes(make_collection: Make, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    source = make_collection()
    code = """
import sys
from distributed import LocalCluster
from radrefine.batch import CleanOptions, clean_collection
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        options = CleanOptions(backend="dask", scheduler=cluster.scheduler_address)
        clean_collection(sys.argv[1], sys.argv[2], options)
    clean_collection(sys.argv[1], sys.argv[3], CleanOptions(jobs=1))
"""
    script = tmp_path / "cluster.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script), str(source), str(tmp_path / "a"), str(tmp_path / "b")]

    subprocess.run(command, check=True, env=environment, cwd=tmp_path, capture_output=True, timeout=120)

    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_another_source_of_the_same_name_removes_nothing(tmp_path: Path) -> None:
    for folder, name in (("a", "one.png"), ("b", "two.png")):
        (tmp_path / folder / "col" / "CT" / "x").mkdir(parents=True)
        (tmp_path / folder / "col" / "CT" / "x" / name).write_bytes(encode_png(np.zeros((8, 8), np.uint8)))
    options = CleanOptions(jobs=1, backend="threading")
    clean_collection(tmp_path / "a" / "col", tmp_path / "out", options)
    with pytest.raises(RefinedFolderError, match="holds none of the 1 images"):
        clean_collection(tmp_path / "b" / "col", tmp_path / "out", options)
    assert (tmp_path / "out" / "images" / "CT" / "x" / "one.png").is_file()


def test_an_archive_that_was_cut_short_removes_nothing(tmp_path: Path) -> None:
    folder, archive, out = tmp_path / "col", tmp_path / "col.tar", tmp_path / "out"
    (folder / "CT").mkdir(parents=True)
    for number in range(20):
        (folder / "CT" / f"{number:02d}.png").write_bytes(encode_png(np.full((8, 8), number, np.uint8)))
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, "CT")
    options = CleanOptions(jobs=1, backend="threading")
    clean_collection(archive, out, options)
    archive.write_bytes(archive.read_bytes()[:12000])
    summary = clean_collection(archive, out, options)
    assert any("was kept" in note for note in summary.notes)
    assert len(list((out / "images").rglob("*.png"))) == 20


def test_links_that_are_followed_are_not_linked_to(tmp_path: Path) -> None:
    source, store = tmp_path / "col", tmp_path / "store.png"
    (source / "CT").mkdir(parents=True)
    store.write_bytes(encode_png(np.zeros((8, 8), np.uint8)))
    (source / "CT" / "a.png").symlink_to("../../store.png")
    clean_collection(source, tmp_path / "out", CleanOptions(jobs=1, backend="threading", link=True, follow_links=True))
    written = tmp_path / "out" / "images" / "CT" / "a.png"
    assert not written.is_symlink() and written.samefile(store)


def test_folders_that_become_one_class_by_their_names_are_told(make_collection: Make, tmp_path: Path) -> None:
    source, out = make_collection(), tmp_path / "out"
    (source / "CT/chest__normal").mkdir()
    (source / "CT/chest/normal/0.png").rename(source / "CT/chest__normal/9.png")
    (note,) = clean_collection(source, out, HERE).notes
    assert "chest/normal and chest__normal" in note or "chest__normal and chest/normal" in note
    assert "are one class, CT__chest__normal" in note
