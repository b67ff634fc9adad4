//! From files to sites: which sites cannot be read because of a damaged or missing shard.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use crate::site::{PlateId, SiteId};
use crate::store::format::checksum::crc32c;
use crate::store::format::names::{array_path, shard_path};
use crate::store::read::decode::Decoder;
use crate::store::{Shard, StoreSpec};
use crate::{files, memory};

use super::report::{Depth, Finding, Kind, describe, first_below};
use super::rows::{Rows, Site};

/// Finds the sites behind every damaged or missing shard; with `Deep` reads the whole ones too.
pub(super) fn trace(
    root: &Path,
    spec: &StoreSpec,
    rows: &Rows,
    depth: Depth,
    findings: &mut Vec<Finding>,
    count: &(dyn Fn(u64) + Sync),
) {
    let known: BTreeMap<String, usize> =
        findings.iter().enumerate().map(|(i, finding)| (finding.path.clone(), i)).collect();
    let per_shard = spec.sites_per_shard as usize;
    let shards = rows.iter().flat_map(|(plate, rows)| {
        let shards = rows.chunks(per_shard).enumerate();
        shards.map(move |(shard, sites)| (shard_path(plate, shard), plate, rows.len(), shard, sites))
    });
    let is_there = |path: &String| files::exists(&root.join(path));
    let wanted = |path: &String| depth == Depth::Deep || known.contains_key(path) || !is_there(path).unwrap_or(false);
    let shards: Vec<_> = shards.filter(|(path, ..)| wanted(path)).collect();
    let traced: Vec<Finding> = shards
        .into_par_iter()
        .map_init(Decoder::default, |decoder, (path, plate, n_sites, shard, sites)| {
            let all = || sites.iter().map(|site| site.id(plate)).collect();
            match Shard::open(root, spec, plate, shard, n_sites) {
                // Only where it is known to be gone: what cannot be looked at may be there.
                Err(_) if is_there(&path).is_ok_and(|is_there| !is_there) => {
                    let detail = "named by the metadata, not found";
                    Finding { sites: all(), ..Finding::new(Kind::Missing, &path, detail) }
                }
                Err(e) => Finding { sites: all(), ..Finding::of_error(Kind::Altered, &path, &e) },
                Ok(shard) => {
                    let count = if depth == Depth::Deep { Some(count) } else { None };
                    let (sites, detail) = bad_sites(&shard, spec, (plate, sites), decoder, count);
                    Finding { sites, ..Finding::new(Kind::Altered, &path, detail) }
                }
            }
        })
        .collect();
    for found in traced {
        match known.get(&found.path).map(|&i| &mut findings[i]) {
            // No list names it, but the rows of its plate do.
            Some(finding) if finding.kind == Kind::Extra => {
                if !found.sites.is_empty() {
                    *finding = found;
                }
            }
            Some(finding) => {
                if finding.kind != Kind::Missing {
                    finding.detail += &format!("; {}", found.detail);
                }
                finding.sites = found.sites;
            }
            None if found.sites.is_empty() => {}
            None => findings.push(found),
        }
    }
}

/// Where not even the size of a shard is known: every site of a plate that lost any.
pub(super) fn trace_whole_plates(rows: &Rows, findings: &mut [Finding]) {
    let paths: BTreeMap<String, usize> =
        findings.iter().enumerate().map(|(i, finding)| (finding.path.clone(), i)).collect();
    for (plate, sites) in rows {
        let prefix = format!("{}/c/", array_path(plate));
        if let Some((_, &first)) = first_below(&paths, &prefix) {
            let first = &mut findings[first];
            first.sites = sites.iter().map(|site| site.id(plate)).collect();
            first.detail += "; without the arrays' documents no site of the plate can be found";
        }
    }
}

/// The sites of a shard that cannot be read as they were packed, and what is wrong with the first.
fn bad_sites(
    shard: &Shard,
    spec: &StoreSpec,
    (plate, sites): (&PlateId, &[Site]),
    decoder: &mut Decoder,
    count: Option<&(dyn Fn(u64) + Sync)>,
) -> (Vec<SiteId>, String) {
    let mut pixels = match memory::zeroed(spec.site_bytes(), "a site") {
        Ok(pixels) => pixels,
        Err(e) => return (sites.iter().map(|site| site.id(plate)).collect(), describe(&e)),
    };
    let mut scratch = Vec::new();
    let (mut bad, mut detail) = (Vec::new(), String::new());
    for (slot, site) in sites.iter().enumerate() {
        let fault = match shard.read(slot, decoder, &mut scratch, &mut pixels) {
            Err(e) => Some(describe(&e)),
            Ok(()) => {
                let found = crc32c(&pixels);
                let expected = site.crc32c;
                (found != expected).then(|| format!("expected site crc32c {expected:08x}, found {found:08x}"))
            }
        };
        if let Some(count) = count {
            count(shard.chunk_bytes(slot));
        }
        if let Some(fault) = fault {
            if bad.is_empty() {
                detail = fault;
            }
            bad.push(site.id(plate));
        }
    }
    if bad.is_empty() {
        "every site in it is whole; the damage lies between them".clone_into(&mut detail);
    }
    (bad, detail)
}
