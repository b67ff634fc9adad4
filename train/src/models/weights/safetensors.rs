//! Named tensors as safetensors files: written whole or not at all, read with every byte in doubt, and put into a
//! network. Knows neither what an optimiser keeps nor when a checkpoint is due.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::json;
use tch::{Kind, TchError, Tensor};

use crate::libtorch::refused;
use crate::models::Network;
use cellshard::error::{Error, Result};
use cellshard::files::{self, WholeFile};
use cellshard::memory;
use cellshard::store::format::checksum::HashingWriter;

/// The largest header that the format allows.
const LARGEST_HEADER: u64 = 100_000_000;
/// The key that is no tensor.
const METADATA: &str = "__metadata__";
/// How many tensors an error names before it counts the rest.
const NAMED: usize = 3;

/// The kinds of tensors that both safetensors and libtorch have.
const KINDS: [(Dtype, Kind); 10] = [
    (Dtype::BOOL, Kind::Bool),
    (Dtype::U8, Kind::Uint8),
    (Dtype::I8, Kind::Int8),
    (Dtype::I16, Kind::Int16),
    (Dtype::I32, Kind::Int),
    (Dtype::I64, Kind::Int64),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::F32, Kind::Float),
    (Dtype::F64, Kind::Double),
];

/// The key of the metadata that holds the SHA-256 of all else: of names, shapes, metadata and values.
const SHA256: &str = "cellshard_sha256";

/// What a file holds.
#[derive(Debug)]
pub struct Weights {
    /// Tensors by name, in main memory.
    pub tensors: BTreeMap<String, Tensor>,
    /// Texts by key.
    pub metadata: BTreeMap<String, String>,
    /// Whether the file has a SHA-256 of its own, which is right then. Those of other programs have none.
    pub is_proven: bool,
}

/// Writes tensors of any device, memory format and kind beside `path`, syncs them, and renames them into place: after a
/// crash there is the old file or the new one. The same tensors and metadata give the same bytes. The key
/// `cellshard_sha256` of the metadata proves all of it.
///
/// # Errors
/// If two tensors have one name, if a kind has no name in safetensors, if a device refuses to give its values, or if
/// the file cannot be written.
pub fn save(path: &Path, tensors: &[(&str, &Tensor)], metadata: &BTreeMap<String, String>) -> Result<()> {
    write(WholeFile::create(path)?, tensors, metadata)
}

/// The same, into a file that is under way.
///
/// # Errors
/// As [`save`] has them.
pub fn write(file: WholeFile, tensors: &[(&str, &Tensor)], metadata: &BTreeMap<String, String>) -> Result<()> {
    let path = file.path();
    let refuse = |expected: &str, found: String| Error::refused(path.display(), expected, found);
    let mut sorted = Vec::with_capacity(tensors.len());
    let mut names = BTreeSet::from([METADATA]);
    for &(name, tensor) in tensors {
        if !names.insert(name) {
            return Err(refuse("one tensor a name", format!("another one named {name}")));
        }
        let kind = tensor.f_kind().map_err(|e| refuse("a kind that is known", e.to_string()))?;
        let dtype = KINDS.iter().find(|known| known.1 == kind).map(|known| known.0);
        let dtype = dtype.ok_or_else(|| refuse("a kind that safetensors has", format!("{name} as {kind:?}")))?;
        sorted.push((name, tensor, dtype));
    }
    // Wide numbers first, so that every tensor begins at a multiple of its numbers' width.
    sorted.sort_by_key(|(_, _, dtype)| std::cmp::Reverse(dtype.bitsize()));

    let mut metadata = metadata.clone();
    metadata.insert(SHA256.to_owned(), "0".repeat(64));
    let mut hash = hash_of_header(sorted.iter().map(|(name, tensor, dtype)| (*name, *dtype, tensor.size())), &metadata);
    let mut out = BufWriter::with_capacity(1 << 16, file.as_file());
    write_header(&mut out, &sorted, &metadata).map_err(Error::io(path, "write"))?;
    for (name, tensor, dtype) in &sorted {
        let mut bytes = memory::zeroed(tensor.numel() * dtype.bitsize() / 8, path.display())?;
        let copied = tensor.detach().f_copy_data_u8(&mut bytes, tensor.numel());
        copied.map_err(|e| refused(&format!("{}: {name}", path.display()), "its values", &e.to_string()))?;
        out.write_all(&bytes).map_err(Error::io(path, "write"))?;
        update(&mut hash, &bytes);
    }
    // The place of the sum was kept free by one of the same length.
    metadata.insert(SHA256.to_owned(), hash.finish().1.to_string());
    out.seek(SeekFrom::Start(0)).map_err(Error::io(path, "write"))?;
    write_header(&mut out, &sorted, &metadata).map_err(Error::io(path, "write"))?;
    out.flush().map_err(Error::io(path, "write"))?;
    drop(out);
    file.finish()
}

/// What a file's own SHA-256 covers before the values: each tensor's name, kind and shape, and all other metadata.
fn hash_of_header<'t>(
    tensors: impl Iterator<Item = (&'t str, Dtype, Vec<i64>)>,
    metadata: &BTreeMap<String, String>,
) -> HashingWriter<io::Sink> {
    let tensors = tensors.map(|(name, dtype, shape)| json!([name, dtype, shape]));
    let others = metadata.iter().filter(|(key, _)| *key != SHA256).map(|(key, value)| json!([key, value]));
    let mut hash = HashingWriter::new(io::sink());
    for part in tensors.chain(others) {
        update(&mut hash, part.to_string().as_bytes());
    }
    hash
}

fn update(hash: &mut HashingWriter<io::Sink>, bytes: &[u8]) {
    hash.write_all(bytes).expect("a sink takes everything");
}

/// The length and the JSON of the header. Not by the crate's writer, which gives metadata in no order.
fn write_header(
    out: &mut impl Write,
    tensors: &[(&str, &Tensor, Dtype)],
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let mut entries = vec![format!("{}:{}", json!(METADATA), json!(metadata))];
    let mut start = 0;
    for (name, tensor, dtype) in tensors {
        let end = start + tensor.numel() * dtype.bitsize() / 8;
        let mut info = json!({ "dtype": dtype, "shape": tensor.size(), "data_offsets": [start, end] });
        // The same bytes whether or not another crate has `serde_json` keep the order in which maps were filled.
        info.sort_all_objects();
        entries.push(format!("{}:{info}", json!(name)));
        start = end;
    }
    let mut header = format!("{{{}}}", entries.join(","));
    // Padded so that the values begin at a multiple of 8.
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())
}

/// Reads a file of any size, tensor by tensor.
///
/// # Errors
/// If it cannot be read, or is not what the format asks for: cut short, with bytes that no tensor claims, with a
/// header that contradicts itself, or with a kind of number that libtorch does not compute with.
pub fn read(path: &Path) -> Result<Weights> {
    let malformed = |expected: &str, found: String| Error::malformed(path.display(), expected, found);
    if files::look_at(path)?.is_some_and(|found| !found.is_file()) {
        return Err(malformed("a regular file", "something else".into()));
    }
    let mut file = files::open(path)?;
    let length = file.metadata().map_err(Error::io(path, "read"))?.len();
    let header = read_header(path, &mut file, length)?;
    let mut weights = Weights { tensors: BTreeMap::new(), metadata: BTreeMap::new(), is_proven: false };
    weights.metadata.extend(header.metadata().clone().unwrap_or_default());
    let shape = |info: &TensorInfo| info.shape.iter().map(|&side| side as i64).collect::<Vec<_>>();
    let infos = header.offset_keys().into_iter().filter_map(|name| Some((header.info(&name)?, name)));
    let infos: Vec<(String, Dtype, Vec<i64>)> = infos.map(|(info, name)| (name, info.dtype, shape(info))).collect();
    let infos = infos.iter().map(|(name, dtype, shape)| (name.as_str(), *dtype, shape.clone()));
    let mut hash = hash_of_header(infos, &weights.metadata);
    for name in header.offset_keys() {
        let info = header.info(&name).ok_or_else(|| malformed("a tensor a name", format!("no {name}")))?;
        // The header is known to claim no more than the file holds, so this is bounded by its length.
        let mut bytes = memory::zeroed(info.data_offsets.1 - info.data_offsets.0, path.display())?;
        file.read_exact(&mut bytes).map_err(Error::io(path, "read"))?;
        update(&mut hash, &bytes);
        let place = format!("{}: tensor {name}", path.display());
        let made = tensor(info, &bytes).map_err(|(expected, found)| Error::malformed(&place, expected, found))?;
        let tensor = made.map_err(|e| refused(&place, "libtorch to make it", &e.to_string()))?;
        weights.tensors.insert(name, tensor);
    }
    if let Some(own) = weights.metadata.remove(SHA256) {
        let found = hash.finish().1.to_string();
        if own != found {
            return Err(malformed("the content whose SHA-256 it names", "another".into()));
        }
        weights.is_proven = true;
    }
    Ok(weights)
}

/// The header, once it agrees with itself and with the file's length.
fn read_header(path: &Path, file: &mut File, length: u64) -> Result<Metadata> {
    let malformed = |expected: String, found: String| Error::malformed(path.display(), expected, found);
    let mut prefix = [0; 8];
    if length < 8 {
        return Err(malformed("a safetensors file of at least 8 bytes".into(), format!("{length} bytes")));
    }
    file.read_exact(&mut prefix).map_err(Error::io(path, "read"))?;
    let claimed = u64::from_le_bytes(prefix);
    if claimed > LARGEST_HEADER.min(length - 8) {
        let expected = format!("a safetensors header of at most {} bytes", LARGEST_HEADER.min(length - 8));
        return Err(malformed(expected, format!("{claimed} bytes claimed")));
    }
    let mut header = memory::zeroed(claimed as usize, path.display())?;
    file.read_exact(&mut header).map_err(Error::io(path, "read"))?;
    // This checks that tensors follow each other without gaps and that each is as long as its shape asks for.
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|e| malformed("a safetensors header that agrees with itself".into(), e.to_string()))?;
    let claimed = (header.data_len() as u64).checked_add(8 + claimed);
    if claimed != Some(length) {
        let claimed = claimed.map_or_else(|| "more".into(), |n| n.to_string());
        return Err(malformed(format!("{claimed} bytes, as the header says"), format!("{length} bytes")));
    }
    Ok(header)
}

/// A tensor from its bytes, if libtorch has the memory; or what was expected of the file and found.
fn tensor(info: &TensorInfo, bytes: &[u8]) -> Result<Result<Tensor, TchError>, (String, String)> {
    let kind = KINDS.iter().find(|known| known.0 == info.dtype).map(|known| known.1);
    let kind = kind.ok_or_else(|| {
        let names: Vec<_> = KINDS.iter().map(|known| known.0.to_string()).collect();
        (format!("one of {}", names.join(", ")), info.dtype.to_string())
    })?;
    // A tensor without values may claim sides that libtorch's strides overflow with, and any number of them.
    let shape: Option<Vec<i64>> = info.shape.iter().map(|&side| i64::try_from(side).ok()).collect();
    let bounded = |shape: &Vec<i64>| shape.iter().try_fold(1i64, |n, &side| n.checked_mul(side.max(1))).is_some();
    let shape = shape.filter(|shape| shape.len() <= 16 && bounded(shape));
    let wide = || ("a shape of at most 16 sides and 2^63 values".to_owned(), format!("{:?}", info.shape));
    let shape = shape.ok_or_else(wide)?;
    // A bool that is neither 0 nor 1 is undefined behaviour in C++, so bools come by way of bytes.
    let stored = if kind == Kind::Bool { Kind::Uint8 } else { kind };
    Ok(Tensor::f_from_data_size(bytes, &shape, stored).and_then(|tensor| tensor.f_to_kind(kind)))
}

/// Puts weights into a network: exactly its tensors, each of its shape. Kinds of floating-point numbers are converted.
/// `place` names the weights in errors. If it fails, the network is as before.
///
/// # Errors
/// If tensors are missing, unexpected, of another shape, or of integers where floating-point numbers belong; the first
/// of each are named.
pub fn load(network: &mut Network, weights: &Weights, place: &str) -> Result<()> {
    let tensors = network.tensors();
    let names: BTreeSet<&str> = tensors.iter().map(|(name, _)| *name).collect();
    let missing = names.iter().copied().filter(|name| !weights.tensors.contains_key(*name));
    let unexpected = weights.tensors.keys().map(String::as_str).filter(|name| !names.contains(name));
    let pairs: Vec<_> =
        tensors.iter().filter_map(|(name, to)| Some((*name, *to, weights.tensors.get(*name)?))).collect();
    let unlike = pairs.iter().filter_map(|(name, to, from)| {
        let (to, from) = (describe(to), describe(from));
        (!fits(&to, &from)).then(|| format!("{name} as {from} for {to}"))
    });
    let faults = [
        first_few("missing", &missing.map(str::to_owned).collect::<Vec<_>>()),
        first_few("unexpected", &unexpected.map(str::to_owned).collect::<Vec<_>>()),
        first_few("of another shape or kind", &unlike.collect::<Vec<_>>()),
    ];
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    if !faults.is_empty() {
        let expected = format!("the {} tensors of {}", names.len(), network.spec().architecture);
        return Err(Error::malformed(place, expected, faults.join("; ")));
    }
    copy_all(pairs.into_iter().map(|(_, to, from)| (to, from)), place)
}

/// Overwrites tensors in place, so that whoever shares them sees the new values.
pub(super) fn copy_all<'a>(pairs: impl Iterator<Item = (&'a Tensor, &'a Tensor)>, place: &str) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    for (to, from) in pairs {
        let copied = to.shallow_clone().f_copy_(from);
        copied.map_err(|e| refused(place, "libtorch to copy it", &e.to_string()))?;
    }
    Ok(())
}

/// What decides whether a tensor fits.
#[derive(Debug, PartialEq)]
pub(super) struct Description {
    pub(super) shape: Vec<i64>,
    pub(super) kind: Kind,
}

pub(super) fn describe(tensor: &Tensor) -> Description {
    Description { shape: tensor.size(), kind: tensor.kind() }
}

impl std::fmt::Display for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.kind, self.shape)
    }
}

/// Whether one can be copied into the other without loss of meaning.
pub(super) fn fits(to: &Description, from: &Description) -> bool {
    to.shape == from.shape && kind_fits(to.kind, from.kind)
}

pub(super) fn kind_fits(to: Kind, from: Kind) -> bool {
    let is_float = |kind| matches!(kind, Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double);
    to == from || (is_float(to) && is_float(from))
}

/// `3 missing (a, b, c)`, or nothing.
pub(super) fn first_few(what: &str, names: &[String]) -> Option<String> {
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let rest = if names.len() > NAMED { ", .." } else { "" };
    (!names.is_empty()).then(|| format!("{} {what} ({shown}{rest})", names.len()))
}

pub(super) fn first_line(error: &TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
