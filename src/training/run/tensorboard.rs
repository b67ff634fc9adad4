//! TensorBoard event files: scalars in protobuf, each record framed with masked CRC-32C as TFRecord has it
//! (`record_writer.h` and `event.proto` of TensorFlow). Reads nothing.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::files;
use crate::store::format::checksum::crc32c;
use crate::training::evaluate::epoch_row::EpochRow;
use crate::training::evaluate::metrics::EpochMetrics;

/// One event file, appended to.
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Starts an event file in a folder. TensorBoard reads all of a folder's files together, and drops what earlier
    /// ones say of `step` and later: a resumed run says it again.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(root: &Path, step: u64) -> Result<Self> {
        let now = seconds();
        let mut n = 0;
        loop {
            let path = root.join(format!("events.out.tfevents.{now:010.0}.cellshard.{n}"));
            match files::create_new(&path) {
                Ok(file) => {
                    let mut writer = Self { path, file };
                    writer.record(&version_event(now))?;
                    writer.record(&start_event(now, step))?;
                    return Ok(writer);
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
                Err(e) => return Err(Error::io(&path, "create")(e)),
            }
        }
    }

    /// Appends the figures of an epoch, at its optimiser step.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, row: &EpochMetrics) -> Result<()> {
        let scalars: Vec<(String, f64)> = EpochRow::of(row)
            .figures()
            .map(|(name, value)| {
                let tag = name.split_once('_').filter(|(kind, _)| ["train", "val"].contains(kind));
                let tag = tag.map_or_else(|| format!("run/{name}"), |(kind, rest)| format!("{kind}/{rest}"));
                (tag, value)
            })
            .collect();
        self.record(&scalar_event(seconds(), row.step, &scalars))
    }

    fn record(&mut self, data: &[u8]) -> Result<()> {
        self.file.write_all(&framed(data)).map_err(Error::io(&self.path, "write"))
    }
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// A record: length, its masked CRC, data, its masked CRC.
fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let masked = |bytes: &[u8]| crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

/// `Event { wall_time = 1, file_version = 3 }`.
fn version_event(wall_time: f64) -> Vec<u8> {
    let mut event = double(1, wall_time);
    event.extend(bytes(3, b"brain.Event:2"));
    event
}

/// `Event { wall_time = 1, step = 2, session_log = 7: SessionLog { status = 1: START = 1 } }`.
fn start_event(wall_time: f64, step: u64) -> Vec<u8> {
    let mut event = double(1, wall_time);
    event.push(2 << 3);
    event.extend(varint(step));
    event.extend(bytes(7, &[1 << 3, 1]));
    event
}

/// `Event { wall_time = 1, step = 2, summary = 5: Summary { value = 1: Value { tag = 1, simple_value = 2 } } }`.
fn scalar_event(wall_time: f64, step: u64, scalars: &[(String, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in scalars {
        let mut entry = bytes(1, tag.as_bytes());
        entry.push(2 << 3 | 5);
        entry.extend((*value as f32).to_le_bytes());
        summary.extend(bytes(1, &entry));
    }
    let mut event = double(1, wall_time);
    event.push(2 << 3);
    event.extend(varint(step));
    event.extend(bytes(5, &summary));
    event
}

fn double(field: u8, value: f64) -> Vec<u8> {
    [&[field << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    [&[field << 3 | 2][..], &varint(value.len() as u64), value].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::evaluate::metrics::tests::epoch;

    #[test]
    fn records_are_framed_as_tfrecord_has_them() {
        // The masked CRC-32C of eight zero bytes and of no bytes, computed with TensorFlow's own masked_crc32c.
        assert_eq!(framed(b""), [&[0; 8][..], &[0x29, 0x03, 0x98, 0x07], &[0xd8, 0xea, 0x82, 0xa2]].concat());
    }

    #[test]
    fn an_event_holds_its_step_and_scalars() {
        let event = scalar_event(1.5, 300, &[("val/loss".to_owned(), 0.25)]);
        let mut expected = vec![0x09];
        expected.extend(1.5_f64.to_le_bytes());
        expected.extend([0x10, 0xac, 0x02, 0x2a, 0x11, 0x0a, 0x0f, 0x0a, 0x08]);
        expected.extend(b"val/loss");
        expected.push(0x15);
        expected.extend(0.25_f32.to_le_bytes());
        assert_eq!(event, expected);
    }

    #[test]
    fn a_resumed_run_writes_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            EventWriter::create(dir.path(), 0).unwrap().append(&epoch(1, 0.5, 0.5)).unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
