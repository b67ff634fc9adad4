//! The data sets that are known by the columns of their tables, and what the READMEs of github.com/recursionpharma/
//! rxrx-datasets say of these. What no README says is not known here either.

use crate::csv_table::is_like;
use crate::error::Result;
use crate::site::Population;

use Population::{NegativeControl, PositiveControl};

/// A data set of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataSet {
    /// RxRx1: siRNAs, with their numbers and the kind of each well.
    RxRx1,
    /// RxRx1 as WILDS splits it: it has a dataset `val`, too.
    Wilds,
    /// RxRx2: soluble factors.
    RxRx2,
    /// RxRx19a: compounds against SARS-CoV-2.
    RxRx19a,
    /// RxRx19b: compounds against a storm of cytokines.
    RxRx19b,
    /// RxRx3, and RxRx3-core: knocked-out genes, and compounds. Its table names wells only.
    RxRx3,
}

/// Wells of a control as a data set has them.
pub(super) struct KnownControl {
    pub(super) population: Population,
    /// Columns, each with what such wells have in it.
    pub(super) all_of: &'static [(&'static str, &'static str)],
    /// The label of those whose label columns are empty.
    pub(super) label: &'static str,
}

/// The label of wells that were given nothing, where no cell has a word for it.
pub(super) const UNTREATED: &str = "untreated";
/// The column by which RxRx19a and RxRx19b are told apart.
pub(super) const CONDITION: &str = "disease_condition";
const TREATMENT: &str = "treatment";
/// The conditions of RxRx19a: "mock, irradiated or viral" in its README's words.
const OF_19A: [&str; 3] = ["Mock", "UV Inactivated SARS-CoV-2", "Active SARS-CoV-2"];
/// The conditions of RxRx19b: a cocktail of healthy cytokines, and of a severe storm; blank for no cytokines.
const OF_19B: [&str; 2] = ["healthy", "storm-severe"];

const RXRX1: [&str; 9] =
    ["site_id", "dataset", "experiment", "plate", "well", "site", "well_type", "sirna", "sirna_id"];
const RXRX2: [&str; 9] =
    ["site_id", "well_id", "cell_type", "experiment", "plate", "well", "site", TREATMENT, "treatment_conc"];
const RXRX19: [&str; 11] = [
    "site_id",
    "well_id",
    "cell_type",
    "experiment",
    "plate",
    "well",
    "site",
    CONDITION,
    TREATMENT,
    "treatment_conc",
    "SMILES",
];
const RXRX3: [&str; 10] = [
    "well_id",
    "experiment_name",
    "plate",
    "address",
    "gene",
    TREATMENT,
    "SMILES",
    "concentration",
    "perturbation_type",
    "cell_type",
];

impl DataSet {
    /// The name that people know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RxRx1 => "RxRx1",
            Self::Wilds => "RxRx1 of WILDS",
            Self::RxRx2 => "RxRx2",
            Self::RxRx19a => "RxRx19a",
            Self::RxRx19b => "RxRx19b",
            Self::RxRx3 => "RxRx3",
        }
    }

    /// Images of a site, one a channel; `None` for WILDS, which has one of three.
    #[must_use]
    pub fn channels(self) -> Option<usize> {
        match self {
            Self::Wilds => None,
            Self::RxRx19a => Some(5),
            Self::RxRx1 | Self::RxRx2 | Self::RxRx19b | Self::RxRx3 => Some(6),
        }
    }

    /// Whether its channels are those of RxRx1, with its stains.
    #[must_use]
    pub fn is_rxrx1(self) -> bool {
        matches!(self, Self::RxRx1 | Self::Wilds)
    }

    /// A column of a data set that a table lacks and has by nearly the name, as `Site` for `site`, where it has all of
    /// them so.
    pub(super) fn nearly_named(header: &[String]) -> Option<&'static str> {
        let has_like = |column: &&str| header.iter().any(|name| is_like(name, column));
        let known = [&RXRX1[..], &RXRX2, &RXRX19, &RXRX3];
        let alike = known.into_iter().find(|columns| columns.iter().all(&has_like))?;
        alike.iter().copied().find(|column| header.iter().all(|name| name != column))
    }

    /// Whether a table has all columns of RxRx1, as one that is only like it has not.
    pub(super) fn has_all_of_rxrx1(header: &[String]) -> bool {
        has_all(header, &RXRX1)
    }

    /// The data set whose columns a table has, among others and in any order. RxRx19a and RxRx19b have the same ones;
    /// what `conditions` there are tells which: both or neither is no data set of ours.
    ///
    /// # Errors
    /// If the conditions cannot be read.
    pub(super) fn of(header: &[String], conditions: impl FnOnce() -> Result<Conditions>) -> Result<Option<Self>> {
        // A table of siRNAs that lacks a column or two of RxRx1's has lost them; one that lacks more is of others.
        let is_there = |column: &&&str| header.iter().any(|name| is_like(name, column));
        let of_sirnas = header.iter().any(|name| is_like(name, "sirna") || is_like(name, "sirna_id"));
        if of_sirnas && RXRX1.iter().filter(is_there).count() + 2 >= RXRX1.len() {
            return Ok(Some(Self::RxRx1));
        }
        if has_all(header, &RXRX19) {
            return Ok(match conditions()? {
                Conditions { of_19a: true, of_19b: false } => Some(Self::RxRx19a),
                Conditions { of_19a: false, of_19b: true } => Some(Self::RxRx19b),
                _ => None,
            });
        }
        let known = [(Self::RxRx2, &RXRX2[..]), (Self::RxRx3, &RXRX3)];
        Ok(known.into_iter().find_map(|(data_set, columns)| has_all(header, columns).then_some(data_set)))
    }

    /// The columns of the label.
    pub(super) fn label_columns(self) -> &'static [&'static str] {
        match self {
            Self::RxRx1 | Self::Wilds => &["sirna"],
            // The soluble factor or compound, at any concentration; of RxRx3 the compound or the guide of a gene.
            Self::RxRx2 | Self::RxRx19a | Self::RxRx19b | Self::RxRx3 => &[TREATMENT],
        }
    }

    /// The wells that are controls. What was given nothing is a negative control; what was made ill and not treated is
    /// a positive one, as it is the same on every plate and unlike the negative ones.
    pub(super) fn controls(self) -> &'static [KnownControl] {
        match self {
            // The column `well_type` says it.
            Self::RxRx1 | Self::Wilds => &[],
            // The column is "Soluble factor added to the well".
            Self::RxRx2 => {
                &[KnownControl { population: NegativeControl, all_of: &[(TREATMENT, "")], label: UNTREATED }]
            }
            // What a blank condition means, the README does not say.
            Self::RxRx19a => &[
                KnownControl {
                    population: NegativeControl,
                    all_of: &[(CONDITION, OF_19A[0]), (TREATMENT, "")],
                    label: OF_19A[0],
                },
                KnownControl {
                    population: NegativeControl,
                    all_of: &[(CONDITION, OF_19A[1]), (TREATMENT, "")],
                    label: OF_19A[1],
                },
                KnownControl {
                    population: PositiveControl,
                    all_of: &[(CONDITION, OF_19A[2]), (TREATMENT, "")],
                    label: OF_19A[2],
                },
            ],
            // "Compound tested in the well (if any)", and "blank, no cytokines".
            Self::RxRx19b => &[
                KnownControl {
                    population: NegativeControl,
                    all_of: &[(CONDITION, OF_19B[0]), (TREATMENT, "")],
                    label: OF_19B[0],
                },
                KnownControl {
                    population: NegativeControl,
                    all_of: &[(CONDITION, ""), (TREATMENT, "")],
                    label: UNTREATED,
                },
                KnownControl {
                    population: PositiveControl,
                    all_of: &[(CONDITION, OF_19B[1]), (TREATMENT, "")],
                    label: OF_19B[1],
                },
            ],
            // Both are named controls; that of the compounds' plates which is not empty is not untreated.
            Self::RxRx3 => &[
                KnownControl {
                    population: NegativeControl,
                    all_of: &[(TREATMENT, "EMPTY_control")],
                    label: "EMPTY_control",
                },
                KnownControl {
                    population: PositiveControl,
                    all_of: &[(TREATMENT, "CRISPR_control")],
                    label: "CRISPR_control",
                },
            ],
        }
    }
}

fn has_all(header: &[String], columns: &[&str]) -> bool {
    columns.iter().all(|column| header.iter().any(|name| name == column))
}

/// Of which of RxRx19a and RxRx19b a table has conditions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    of_19a: bool,
    of_19b: bool,
}

impl Conditions {
    /// Takes note of a cell.
    pub(super) fn note(&mut self, cell: &str) {
        self.of_19a |= OF_19A.contains(&cell);
        self.of_19b |= OF_19B.contains(&cell);
    }
}
