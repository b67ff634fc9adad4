"""What docs/data-sets.md has people do does what it says."""

import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

TOOL = Path(__file__).parents[2] / "tools/unpack_rxrx3_core.py"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_images_of_rxrx3_core_become_pngs(tmp_path, dtype):
    rng = np.random.default_rng(5)
    names = ["compound-001/Plate10/AA15_s1_6", "compound-001/Plate10/AA15_s1_1", "gene-002/Plate1/B02_s2_3"]
    images = [rng.integers(0, np.iinfo(dtype).max, (24, 32), dtype, endpoint=True) for _ in names]
    jp2 = [{"bytes": imagecodecs.jpeg2k_encode(image, level=0), "path": f"{i}.jp2"} for i, image in enumerate(images)]
    pyarrow.parquet.write_table(pyarrow.table({"__key__": names, "jp2": jp2}), tmp_path / "part.parquet")
    subprocess.run([sys.executable, TOOL, tmp_path / "out", tmp_path / "part.parquet"], check=True)
    expected = {
        "images/compound-001/Plate10/AA15_s1_w6.png": images[0],
        "images/compound-001/Plate10/AA15_s1_w1.png": images[1],
        "images/gene-002/Plate1/B02_s2_w3.png": images[2],
    }
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path / "out")) for path in found} == expected.keys()
    for name, pixels in expected.items():
        with Image.open(tmp_path / "out" / name) as image:
            np.testing.assert_array_equal(np.asarray(image), pixels)
