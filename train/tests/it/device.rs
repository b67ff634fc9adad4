//! The way of batches to the device, and steps by themselves, on the CPU: the same code as on a GPU, where every event
//! has always come.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use cellshard::feed::{Io, Reader, Verify};
use cellshard::store::{Codec, Store};
use cellshard::training::recipe::Recipe;
use tch::Device;

use cellshard_train::bench::StepBench;
use cellshard_train::device::DeviceChoice;
use cellshard_train::device::batch::DeviceBatch;
use cellshard_train::device::loader::{Sites, plates};
use cellshard_train::device::staging::Ring;
use cellshard_train::plan::{Resume, TrainConfig};
use cellshard_train::train::train;

use crate::common::{Fixture, TreeSpec, contents, site_pixels, small};

fn fixture(size: (u32, u32)) -> Fixture {
    let fixture =
        Fixture::kaggle(TreeSpec { experiments: vec![("RPE-01", "train"), ("RPE-02", "train")], size, ..small() });
    let config = cellshard::pack::PackConfig { codec: Some(Codec::Raw), ..fixture.config() };
    cellshard::pack::pack(&config, &|_| {}).unwrap();
    fixture
}

fn sites(fixture: &Fixture, skip_damaged: bool) -> Sites {
    let reader = Reader::new(Store::open(&fixture.store()).unwrap(), Io::Pread, Verify::Always);
    Sites::new(Arc::new(reader), |class| (class < 10).then_some(class as usize), 2, skip_damaged)
}

/// Compares a batch with the pixels that the tree was made of.
fn check(fixture: &Fixture, store: &Store, batch: &DeviceBatch) {
    let n = batch.sites.len();
    assert_eq!(batch.raw.size(), [n as i64, 2, 10, 12]);
    let labels = Vec::<i64>::try_from(&batch.labels).unwrap();
    let positions = Vec::<i64>::try_from(&batch.plates).unwrap();
    for (i, &site) in batch.sites.iter().enumerate() {
        let row = &store.sites()[site];
        let plate = &row.id.well.plate;
        let (experiment, well) = (plate.experiment.as_str(), row.id.well.well.to_string());
        let expected = site_pixels(&fixture.spec, experiment, &plate.plate, &well, row.id.site);
        let found = Vec::<u8>::try_from(batch.raw.get(i as i64).reshape(-1)).unwrap();
        assert!(found == expected, "{}", row.id);
        assert_eq!(plates(store)[positions[i] as usize], *plate);
        assert_eq!(labels[i], row.label.class.filter(|&class| class < 10).map_or(-1, i64::from));
    }
}

#[test]
fn one_ring_carries_every_batch_of_several_feeds_whole_and_in_order() {
    let fixture = fixture((12, 10));
    let sites = sites(&fixture, false);
    let store = sites.reader.store().clone();
    let mut ring = Ring::new(sites.batch_shape(5), Device::Cpu).unwrap();
    let n = store.sites().len();
    for epoch in 0..4 {
        let order: Vec<usize> = (0..n).map(|i| (i * 7 + epoch) % n).collect();
        let mut batches = sites.start(order.clone().into_iter(), &mut ring).unwrap();
        let mut met = Vec::new();
        while let Some(batch) = batches.next_batch().unwrap() {
            check(&fixture, &store, &batch);
            met.extend(batch.sites);
            // Leaving in the middle, with a copy under way, is no matter to the next feed.
            if epoch == 2 && met.len() > n / 2 {
                break;
            }
        }
        assert_eq!(met, order[..met.len()]);
        assert!(epoch == 2 || met.len() == n);
    }
    // A batch larger than the store is one of all its sites.
    assert_eq!(Ring::new(sites.batch_shape(1000), Device::Cpu).unwrap().batch(), n);
}

#[test]
fn damage_ends_or_thins_the_batch_that_it_is_in_and_no_other() {
    let fixture = fixture((12, 10));
    let store = Store::open(&fixture.store()).unwrap();
    let n = store.sites().len();
    // The fourth site of the first shard; five sites make a shard and a batch.
    let shard = fixture.store().join("pixels.zarr/RPE-01/Plate1/c/1/0/0/0");
    let file = OpenOptions::new().read(true).write(true).open(&shard).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 3 * 4096 + 17).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 3 * 4096 + 17).unwrap();

    let strict = sites(&fixture, false);
    let mut ring = Ring::new(strict.batch_shape(5), Device::Cpu).unwrap();
    let mut batches = strict.start(0..n, &mut ring).unwrap();
    let first = batches.next_batch().unwrap().unwrap();
    check(&fixture, &store, &first);
    let error = batches.next_batch().err().unwrap();
    assert!(error.is_data_fault() && error.to_string().contains(&store.sites()[8].id.shown()), "{error}");
    assert!(batches.next_batch().unwrap().is_none(), "nothing comes after an error");
    drop(batches);

    let skipping = sites(&fixture, true);
    let mut batches = skipping.start(0..n, &mut ring).unwrap();
    let first = batches.next_batch().unwrap().unwrap();
    assert_eq!(first.sites, [0, 1, 2, 3, 4]);
    assert!(batches.take_skipped().is_empty(), "it is told of with its own batch");
    let second = batches.next_batch().unwrap().unwrap();
    assert_eq!(second.sites, [5, 6, 7, 9]);
    check(&fixture, &store, &second);
    assert_eq!(batches.take_skipped().iter().map(|(site, _)| *site).collect::<Vec<_>>(), [8]);
    let mut rest = 0;
    while let Some(batch) = batches.next_batch().unwrap() {
        check(&fixture, &store, &batch);
        rest += batch.sites.len();
    }
    assert_eq!(rest, n - 10);
}

#[test]
fn a_bench_times_copies_and_steps_and_writes_nothing() {
    let fixture = fixture((32, 32));
    let changes = [("model", "base-cnn"), ("batch", "4"), ("accumulate", "2"), ("noise", "0.01"), ("cutmix", "0.5")];
    let recipe = Recipe::default().with(&changes.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
    let config =
        TrainConfig { device: DeviceChoice::Cpu, ..TrainConfig::new(&fixture.store(), "bench", recipe.clone()) };
    let before = contents(fixture.path());
    let mut bench = StepBench::open(&config).unwrap();
    assert_eq!((bench.device_name(), bench.memory()), ("cpu", None));

    let copies = bench.host_to_device(10).unwrap();
    assert_eq!((copies.copies, copies.bytes), (10, 10 * 4 * 2 * 32 * 32));
    assert!((copies.mb_per_s / (copies.bytes as f64 / 1e6 / copies.seconds) - 1.0).abs() < 1e-9);
    // More steps than an epoch has, so that the next one follows; looks at losses are among them.
    let resident = bench.resident(1, 3).unwrap();
    let real = bench.real(2, 30).unwrap();
    for (figures, steps) in [(&resident, 3), (&real, 30)] {
        assert_eq!((figures.steps, figures.sites), (steps, steps * 8));
        assert!((figures.sites_per_s * figures.seconds / figures.sites as f64 - 1.0).abs() < 1e-9);
        assert!((figures.ms_per_step * steps as f64 / 1e3 / figures.seconds - 1.0).abs() < 1e-9);
        assert!(figures.waited_s <= figures.seconds);
    }
    assert_eq!(resident.waited_s, 0.0);
    assert!(serde_json::to_value(&real).unwrap()["sites_per_s"].as_f64().unwrap() > 0.0);
    assert!(contents(fixture.path()) == before);

    let refused =
        |recipe: Recipe| StepBench::open(&TrainConfig { recipe, ..config.clone() }).err().unwrap().to_string();
    assert!(refused(Recipe { batch: 1000, ..recipe.clone() }).contains("--batch"));
    let bf16 = recipe.with(&[("precision".to_owned(), "bf16".to_owned())]).unwrap();
    assert!(refused(bf16).contains("--precision"));
}

#[test]
fn a_report_tells_when_the_first_step_was_done_and_no_gpu_memory_on_the_cpu() {
    let fixture = fixture((32, 32));
    let changes = [("model", "base-cnn"), ("batch", "4"), ("epochs", "1")];
    let recipe = Recipe::default().with(&changes.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
    let mut config = TrainConfig {
        run: Some(fixture.path().join("run")),
        device: DeviceChoice::Cpu,
        ..TrainConfig::new(&fixture.store(), "test", recipe)
    };
    let report = train(&config, &mut ()).unwrap();
    let first = report.first_step_seconds.unwrap();
    assert!(first > 0.0 && first <= report.seconds);
    assert_eq!(report.gpu_memory, None);
    // Nothing is left to do.
    config.resume = Resume::Yes;
    assert_eq!(train(&config, &mut ()).unwrap().first_step_seconds, None);
}
