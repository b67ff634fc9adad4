//! What `bench` and `train --bench` print: one table from the disk to the step, and in words what holds the rest up.

use std::io::{self, Write};

use serde::Serialize;

use crate::bench::{Bench, Checked, Figure, Part};
use crate::cli::numbers::{bytes, rate};
use crate::cli::screen::screen;
use crate::cli::table::{Align, Table};
use crate::feed::Io;
use crate::store::Codec;
use crate::words::{count, plural};

use super::json::print_json;

/// A share of the device's ceiling that is as good as all of it.
const NEARLY_ALL: f64 = 0.95;

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct BenchReport {
    /// The processor.
    pub machine: String,
    /// The store's folder.
    pub store: String,
    /// How its pixels are stored.
    pub codec: String,
    /// Sites in it.
    pub sites: usize,
    /// Sites that were read again and again where pixels come from memory.
    pub sample: usize,
    /// Bytes of one site's raw pixels.
    pub site_bytes: usize,
    /// Whether the feed maps shards, or reads them by pread.
    #[serde(skip)]
    io: Io,
    /// Threads that read.
    pub threads: usize,
    /// Sites in a batch.
    pub batch: usize,
    /// From the disk to a batch in memory.
    pub feed: Vec<Figure>,
    /// From there to the device; `train --bench` alone measures it.
    pub device: Option<DeviceReport>,
    /// What holds the rest up.
    pub bottleneck: String,
}

/// What was measured with the device.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceReport {
    /// The device.
    pub name: String,
    /// The network and what it computes with.
    pub network: String,
    /// Copies to the device alone, raw pixels in 10^6 bytes a second.
    pub copy_mb_per_s: f64,
    /// Training steps on a batch that lies on the device: its ceiling, sites a second.
    pub resident_sites_per_s: f64,
    /// The real run, sites a second.
    pub real_sites_per_s: f64,
    /// The share of its time that the real run waited for data.
    pub waiting: f64,
    /// The real run as a share of the ceiling.
    pub share: f64,
    /// Peak of the device's memory in bytes; none on the CPU.
    pub peak_memory: Option<u64>,
    /// All rounds as they were measured.
    pub rounds: serde_json::Value,
}

impl BenchReport {
    /// A report on a store, without its conclusion yet.
    #[must_use]
    pub fn new(machine: String, bench: &Bench, feed: Vec<Figure>) -> Self {
        let (store, config) = (bench.store(), bench.config());
        let mut report = Self {
            machine,
            store: store.root().display().to_string(),
            codec: store.spec().codec.to_string(),
            sites: store.sites().len(),
            site_bytes: store.spec().site_bytes(),
            sample: bench.n_sample(),
            io: config.io,
            threads: config.n_threads,
            batch: config.batch,
            feed,
            device: None,
            bottleneck: String::new(),
        };
        report.conclude();
        report
    }

    /// The report with what was measured with the device.
    #[must_use]
    pub fn with_device(mut self, device: DeviceReport) -> Self {
        self.device = Some(device);
        self.conclude();
        self
    }

    fn rate(&self, part: Part) -> Option<f64> {
        self.feed.iter().find(|figure| figure.name == part.name())?.mb_per_s
    }

    fn sites_per_s(&self, mb_per_s: f64) -> f64 {
        mb_per_s * 1e6 / self.site_bytes as f64
    }

    fn conclude(&mut self) {
        let feed = self.rate(Part::WarmFeed(Checked::First)).map(|rate| self.sites_per_s(rate));
        let disk = self.rate(Part::ColdFeed).map(|rate| self.sites_per_s(rate));
        self.bottleneck = match &self.device {
            Some(device) => {
                let copies = self.sites_per_s(device.copy_mb_per_s);
                bottleneck(device, feed, disk, copies)
            }
            None => feed_only(feed.unwrap_or(0.0), disk),
        };
    }

    /// Prints it to stdout, as a table or as JSON.
    ///
    /// # Errors
    /// If stdout is closed.
    pub fn show(&self, bench: &Bench, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            return print_json(if self.device.is_some() { "train" } else { "bench" }, self);
        }
        Ok(self.print(&mut screen(), bench.store().spec().codec)?)
    }

    fn print(&self, out: &mut impl Write, codec: Codec) -> io::Result<()> {
        writeln!(out, "store      {}: {}, {}", self.store, plural(self.sites as u64, "site"), self.codec)?;
        writeln!(out, "machine    {}; {} threads, batches of {}", self.machine, self.threads, self.batch)?;
        if self.sample < self.sites && !self.feed.is_empty() {
            writeln!(out, "in memory  {} of the sites, as many as fit well", count(self.sample as u64))?;
        }
        if let Some(device) = &self.device {
            writeln!(out, "device     {}; {}", device.name, device.network)?;
        }
        writeln!(out)?;
        let right = Align::Right;
        let mut table = Table::new([("part", Align::Left), ("MB/s", right), ("sites/s", right), ("", Align::Left)]);
        for (part, figure) in Part::of(codec).into_iter().zip(&self.feed) {
            let Some(rate) = figure.mb_per_s else {
                let why = figure.reason.clone().unwrap_or_default();
                table.row([figure.name, "-", "-", &format!("not measured: {why}")]);
                continue;
            };
            let note = part.limit(codec, self.io).and_then(|limit| {
                Some(format!("{:.2} of {}", rate / self.rate(Part::Limit(limit))?, Part::Limit(limit).name()))
            });
            self.row(&mut table, figure.name, rate, &note.unwrap_or_default());
        }
        if let Some(device) = &self.device {
            let mb = |sites_per_s: f64| sites_per_s * self.site_bytes as f64 / 1e6;
            self.row(&mut table, "host to device alone", device.copy_mb_per_s, "");
            self.row(&mut table, "step on a resident batch", mb(device.resident_sites_per_s), "the device's ceiling");
            let share = format!("{:.3} of the ceiling, {:.1} % waiting", device.share, 100.0 * device.waiting);
            self.row(&mut table, "real run", mb(device.real_sites_per_s), &share);
        }
        write!(out, "{table}")?;
        if let Some(peak) = self.device.as_ref().and_then(|device| device.peak_memory) {
            writeln!(out, "\nmemory     {} of the device at most", bytes(peak))?;
        }
        writeln!(out, "\nbottleneck {}", self.bottleneck)
    }

    fn row(&self, table: &mut Table, name: &str, mb_per_s: f64, note: &str) {
        let short = |rate: f64| if rate < 100.0 { format!("{rate:.1}") } else { count(rate.round() as u64) };
        table.row([name, &short(mb_per_s), &short(self.sites_per_s(mb_per_s)), note]);
    }
}

/// Tells on stderr what is being measured.
pub fn announce(part: Part) {
    let _ = writeln!(io::stderr(), "measuring  {}", part.name());
}

/// What holds up a feed alone; rates in sites a second.
fn feed_only(feed: f64, disk: Option<f64>) -> String {
    match disk {
        Some(disk) if disk < feed => format!(
            "the disk, where a store is larger than memory ({}); else what takes more than {}",
            rate(disk, "sites"),
            rate(feed, "sites")
        ),
        _ => format!("nothing before the device, unless it takes more than {}", rate(feed, "sites")),
    }
}

/// What holds up a real run; rates in sites a second.
fn bottleneck(device: &DeviceReport, feed: Option<f64>, disk: Option<f64>, copies: f64) -> String {
    let ceiling = device.resident_sites_per_s;
    if device.share >= NEARLY_ALL {
        return format!("the device: the run reaches {:.1} % of what it computes", 100.0 * device.share);
    }
    let Some(feed) = feed else {
        let waiting = 100.0 * device.waiting;
        return format!("not measured without the feed; the run waits for data {waiting:.1} % of its time");
    };
    let (least, name) = if feed <= copies { (feed, "the feed") } else { (copies, "copying to the device") };
    if least < ceiling {
        return format!("{name}: {}, where the device would take {ceiling:.0}", rate(least, "sites"));
    }
    match disk.filter(|&disk| disk < ceiling) {
        Some(disk) => format!("the disk, unless the store is in memory: {} of {ceiling:.0}", rate(disk, "sites")),
        None if device.name.starts_with("cpu") => "the processor: reading and computing share its cores".to_owned(),
        None => {
            format!(
                "between the parts: each alone gives more than the run's {}",
                rate(device.real_sites_per_s, "sites")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, resident: f64, real: f64) -> DeviceReport {
        DeviceReport {
            name: name.to_owned(),
            network: String::new(),
            copy_mb_per_s: 0.0,
            resident_sites_per_s: resident,
            real_sites_per_s: real,
            waiting: 0.0,
            share: real / resident,
            peak_memory: None,
            rounds: serde_json::Value::Null,
        }
    }

    #[test]
    fn the_slowest_part_is_named() {
        let check = |device: DeviceReport, feed, disk, copies, expected: &str| {
            let found = bottleneck(&device, Some(feed), disk, copies);
            assert!(found.starts_with(expected), "{found}");
        };
        check(device("cuda:0", 1000.0, 990.0), 9000.0, Some(500.0), 9000.0, "the device: the run reaches 99.0 %");
        check(device("cuda:0", 1000.0, 400.0), 420.0, None, 9000.0, "the feed: 420 sites/s");
        check(device("cuda:0", 1000.0, 400.0), 9000.0, None, 420.0, "copying to the device: 420");
        check(device("cuda:0", 1000.0, 400.0), 9000.0, Some(410.0), 9000.0, "the disk, unless");
        check(device("cpu", 10.0, 8.0), 9000.0, Some(410.0), 9000.0, "the processor");
        check(device("cuda:0", 1000.0, 400.0), 9000.0, Some(9000.0), 9000.0, "between the parts");
        let found = bottleneck(&device("cuda:0", 1000.0, 400.0), None, None, 9000.0);
        assert!(found.starts_with("not measured without the feed"), "{found}");
        assert!(feed_only(9000.0, Some(1000.0)).starts_with("the disk, where"));
        assert!(feed_only(900.0, Some(1000.0)).starts_with("nothing before the device"));
    }
}
