"""A store as Python sees it, against the files that it is made of."""

import csv
import pickle
import shutil

import numpy as np
import pytest

import cellshard


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_tables_are_those_of_the_store(folder, store):
    rows = table(folder / "raw" / "metadata.csv")
    assert len(rows) == len(store) == 400
    sites = dict(store.sites)
    places = zip(sites.pop("well_row"), sites.pop("well_column"), strict=True)
    assert [f"{chr(64 + row)}{column:02}" for row, column in places] == [row["well"] for row in rows]
    for name, values in sites.items():
        found = [f"{value:08x}" if name == "crc32c" else str(value) for value in values]
        assert found == [row[name] or ("-1" if name == "sirna_id" else "") for row in rows], name
    classes = table(folder / "raw" / "classes.csv")
    assert {name: list(map(str, values)) for name, values in store.classes.items()} == {
        name: [row[name] for row in classes] for name in ("class", "sirna", "well_type")
    }
    plates = [store.plates[i] for i in store.plate_of_sites]
    assert plates == [(row["experiment"], row["plate"]) for row in rows]
    assert (store.shape, store.dtype) == ((6, 32, 32), np.uint8)
    assert store.channels[0] == "nucleus" and store.colors[0] == "#0000FF"


def test_a_site_is_its_pixels_by_index_and_by_either_name(folder, store):
    channels, height, width = store.shape
    whole = (folder / "raw/pixels.zarr/HUVEC-01/Plate1/c/0/0/0/0").read_bytes()
    stride = (channels * height * width + 4095) // 4096 * 4096
    for i in (0, 6):
        expected = np.frombuffer(whole, np.uint8, channels * height * width, i * stride).reshape(store.shape)
        found = store.site(i)
        assert (found == expected).all() and found.flags.writeable
        assert (store.site(store.name_of(i)) == expected).all()
        assert (store.site(store.sites["site_id"][i]) == expected).all()


def test_what_is_not_there_is_said(folder, raw, tmp_path):
    with pytest.raises(
        cellshard.NoSuchSiteError, match=r"expected a site such as HUVEC-01/1/B\d\d/1, found 'HUVEC-09/1/B02/1'"
    ):
        raw.site("HUVEC-09/1/B02/1")
    for index in (-1, 400):
        with pytest.raises(LookupError, match="expected a site from 0 to 399"):
            raw.site(index)
    for index in (1.5, None):
        with pytest.raises(TypeError):
            raw.site(index)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        cellshard.Store(tmp_path / "nowhere")
    shutil.copytree(folder / "raw", tmp_path / "copy")
    (tmp_path / "copy" / "SHA256SUMS").unlink()
    with pytest.raises(cellshard.UnfinishedError, match="found no SHA256SUMS"):
        cellshard.Store(tmp_path / "copy")


def test_a_changed_table_and_a_damaged_site_are_named(folder, tmp_path):
    shutil.copytree(folder / "raw", tmp_path / "copy")
    (shard := tmp_path / "copy/pixels.zarr/RPE-02/Plate2/c/1/0/0/0").write_bytes(flipped(shard.read_bytes(), 4096))
    store = cellshard.Store(tmp_path / "copy")
    damaged = next(i for i, plate in enumerate(store.plates) if plate == ("RPE-02", "2"))
    index = int(np.flatnonzero(store.plate_of_sites == damaged)[7])
    with pytest.raises(cellshard.DamagedError, match="crc32c") as caught:
        store.site(index)
    assert caught.value.site == store.name_of(index) and caught.value.shard == "pixels.zarr/RPE-02/Plate2/c/1/0/0/0"
    assert caught.value.expected.startswith("crc32c ") and caught.value.found != caught.value.expected
    (classes := tmp_path / "copy/classes.csv").write_bytes(classes.read_bytes().replace(b"treatment", b"treatments", 1))
    with pytest.raises(cellshard.DamagedError, match="classes.csv"):
        cellshard.Store(tmp_path / "copy")


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_statistics_are_those_of_the_pixels(store):
    statistics = store.statistics("experiment")
    assert all(len(values) == len(statistics["mean"]) and values.ndim == 1 for values in statistics.values())
    of = np.flatnonzero(store.sites["experiment"] == "RPE-02")
    pixels = np.stack([store.site(int(i)) for i in of])
    rows = (statistics["group"] == "RPE-02") & (statistics["population"] == "all")
    assert (statistics["n_sites"][rows] == len(of)).all()
    by_plate = store.statistics("plate")
    assert set(zip(by_plate["experiment"], by_plate["plate"], strict=True)) == set(store.plates)
    np.testing.assert_allclose(statistics["mean"][rows], pixels.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(statistics["std_pixels"][rows], pixels.std((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(statistics["p99"][rows], np.percentile(pixels, 99, (0, 2, 3)), atol=1)
    with pytest.raises(cellshard.RefusedError, match="by: expected plate"):
        store.statistics("day")


def test_images_are_normalised_by_their_plates(store):
    loader = cellshard.Loader(store, batch_size=50, shuffle=False, format="numpy")
    by_plate = store.normalization("plate")
    plates = {}
    for batch in loader:
        images = cellshard.normalize(batch, by_plate)
        assert images.dtype == np.float32 and images.shape == batch["pixels"].shape
        assert (by_plate(batch) == images).all()
        for plate, image in zip(batch["plate"], images, strict=True):
            plates.setdefault(plate, []).append(image)
    assert len(plates) == 10
    for images in plates.values():
        unclipped = np.abs(np.stack(images)) < 10
        assert unclipped.mean() > 0.99
        np.testing.assert_allclose(np.stack(images).mean((0, 2, 3)), 0, atol=0.05)
        np.testing.assert_allclose(np.stack(images).std((0, 2, 3)), 1, atol=0.1)
    site = store.normalization("site")
    for robust in (False, True):
        site = store.normalization("site", robust=robust)
        image = cellshard.normalize(batch, site)[3, 2]
        pixels = batch["pixels"][3, 2].astype(np.float64)
        centre, spread = pixels.mean(), pixels.std()
        if robust:
            centre = np.sort(pixels.ravel())[511]
            spread = np.sort(abs(pixels.ravel() - centre))[511] * 1.482602218505602 or spread
        np.testing.assert_allclose(image, ((pixels - centre) / max(spread, 1)).clip(-10, 10), atol=1e-5)
    none = cellshard.normalize(batch, store.normalization("none"))
    np.testing.assert_allclose(none, batch["pixels"] / 255, atol=1e-6)


def test_figures_of_plates_that_were_not_asked_for_are_refused(raw):
    split = raw.split()
    of_some = raw.normalization("plate", sites=split.train)
    batch = next(iter(cellshard.Loader(raw, split=split, part="validation", batch_size=4, format="numpy")))
    with pytest.raises(cellshard.RefusedError, match="give it those that validate, too"):
        of_some(batch)
    with pytest.raises(cellshard.RefusedError, match="normalize"):
        raw.normalization("colour")


def test_figures_are_those_of_the_sites_however_they_are_told(raw):
    split = raw.split()
    mask = np.zeros(len(raw), bool)
    mask[split.train] = True
    names = [raw.name_of(int(i)) for i in split.train]
    for by in ("plate", "global"):
        expected = raw.normalization(by, sites=split.train)
        for sites in (mask, names, split.train.tolist()):
            found = raw.normalization(by, sites=sites)
            assert (found.centre == expected.centre).all() and (found.known == expected.known).all()
    # What is trained on decides for all: no plate is without.
    assert expected.known.all() and (expected.centre == expected.centre[0]).all()
    on = np.isin(raw.plate_of_sites, raw.plate_of_sites[split.train])
    pixels = np.stack([raw.site(int(i)) for i in np.flatnonzero(on)])
    np.testing.assert_allclose(expected.centre[0], pixels.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(expected.spread[0], pixels.std((0, 2, 3)), rtol=1e-6)
    for sites in ([], [-1], [400], 3, [1.5]):
        with pytest.raises(cellshard.RefusedError, match="sites: expected"):
            raw.normalization("plate", sites=sites)


def test_tables_are_nobodys_to_write_into(raw):
    for column in (raw.sites["sirna_id"], raw.plate_of_sites, raw.normalization("plate").centre):
        with pytest.raises(ValueError, match="read-only"):
            column[:] = 0


def test_errors_and_figures_are_pickled(raw):
    for error in (cellshard.FaultsError("x", {"a": 1}), cellshard.DamagedError("x", site="y")):
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == "x" and vars(again) == vars(error)
    figures = raw.normalization("plate")
    assert (pickle.loads(pickle.dumps(figures)).centre == figures.centre).all()


def test_a_split_keeps_wells_and_experiments_whole(raw):
    split = raw.split(cell_type=["HUVEC"])
    sites = raw.sites
    assert not set(sites["experiment"][split.train]) & set(sites["experiment"][split.validation])
    assert set(sites["dataset"][split.train]) == {"train"} == set(sites["dataset"][split.validation])
    assert set(sites["well_type"][split.train]) == {"treatment"}
    assert list(split.classes) == sorted(set(sites["sirna_id"][sites["well_type"] == "treatment"]) - {-1})
    other = raw.split(fold="2/3", split_seed=5, controls="train")
    assert set(sites["well_type"][other.train]) > {"treatment"} and len(other.classes) > other.n_treatments == 6
    by_well = raw.split(split="well", validation_share=0.3, cell_type=["HUVEC"])
    assert set(sites["cell_type"][by_well.train]) == {"HUVEC"}
    assert not set(sites["well_id"][by_well.train]) & set(sites["well_id"][by_well.validation])
    assert (raw.split(cell_type=np.array(["RPE"]), fold=None).train == raw.split(cell_type={"RPE"}).train).all()
    for wrong in ({"splt": "well"}, {"split": "day"}, {"cell_type": ["HeLa"]}, {"seed": 1}, {"cell_type": ["a,b"]}):
        with pytest.raises(cellshard.RefusedError):
            raw.split(**wrong)


def test_it_is_pickled_as_its_folder(raw):
    again = pickle.loads(pickle.dumps(raw))
    assert repr(again) == repr(raw) and (again.site(3) == raw.site(3)).all()


def test_pixels_of_16_bits_are_levels(folder):
    store = cellshard.Store(folder / "deep")
    assert store.dtype == np.uint16 and store.site(0).max() > 255
    batch = next(iter(cellshard.Loader(store, batch_size=4, format="numpy")))
    assert batch["pixels"].dtype == np.uint16
    assert (batch["pixels"][2] == store.site(int(batch["index"][2]))).all()
    np.testing.assert_allclose(store.normalization("none")(batch), batch["pixels"] / 65535, atol=1e-6)
