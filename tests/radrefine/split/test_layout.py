"""Links of an ImageFolder have names of their own."""

from pathlib import Path

import pandas as pd

from radrefine.split.layout import link_images


def test_every_image_has_a_link_whatever_names_collide(tmp_path: Path) -> None:
    long = "/".join(["a" * 120] * 3)
    paths = ["b__c/0.png", "b/c/0.png", "d/0.png", "d/1.png", f"{long}/2.png", f"{long}/x/2.png"]
    for path in paths:
        file = tmp_path / "images" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    images = pd.DataFrame({"path": paths, "label": "US__b__c", "part": 0})
    out = link_images(tmp_path, tmp_path / "images", images)
    links = sorted((out / "train" / "US__b__c").iterdir())
    assert sorted(link.read_text() for link in links) == sorted(paths)
    assert {"1.png", "d__0.png"} <= {link.name for link in links}
    assert all(link.suffix == ".png" for link in links)
