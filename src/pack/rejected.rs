//! Faults as rows of `rejected.csv`. Pure.

use std::collections::BTreeSet;

use crate::fault::Fault;
use crate::store::format::rows::Rejected;

/// A fault as a row of `rejected.csv`; `None` for one of a whole plate, of which a tree has none.
pub(super) fn to_rejected(fault: &Fault) -> Option<Rejected> {
    let Fault { plate, well, site, kind, file, detail } = fault.clone();
    Some(Rejected { plate: plate?, well: well?, site, reason: kind.name().to_owned(), file, detail })
}

/// One row a site or well, with its first fault, sorted.
pub(super) fn rejected_once(faults: &[Fault]) -> Vec<Rejected> {
    let mut sorted: Vec<&Fault> = faults.iter().collect();
    sorted.sort();
    let mut seen = BTreeSet::new();
    sorted.retain(|fault| seen.insert((fault.well, fault.site)));
    sorted.into_iter().filter_map(to_rejected).collect()
}
