//! What a pattern may have in braces, and the shape of the text that each stands for.

use std::fmt;

/// What one place of a name tells, by the word that a pattern has in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// `{experiment}`: any text within one folder's or file's name.
    Experiment,
    /// `{plate}`: any text within one folder's or file's name.
    Plate,
    /// `{well}`: one or two letters and one to three digits, such as `A1`, `a01`, `AF48`, `B002`.
    Well,
    /// `{row}`: the row of a well by one or two letters, or by its number from 1.
    Row,
    /// `{column}`: the column of a well, from 1 to 99.
    Column,
    /// `{site}`: the number of a field of view, with any zeros before it.
    Site,
    /// `{channel}`: a number, or a name of letters, digits, `-`, `+` and spaces.
    Channel,
    /// `{z}`: the number of a plane.
    Z,
    /// `{t}`: the number of a time point.
    T,
    /// `{guid}`: a GUID, such as `MetaXpress` puts behind the channel; it tells nothing.
    Guid,
}

impl Field {
    /// All of them, in the order in which they are listed to users.
    pub const ALL: [Self; 10] = [
        Self::Experiment,
        Self::Plate,
        Self::Well,
        Self::Row,
        Self::Column,
        Self::Site,
        Self::Channel,
        Self::Z,
        Self::T,
        Self::Guid,
    ];

    /// The word in braces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Experiment => "experiment",
            Self::Plate => "plate",
            Self::Well => "well",
            Self::Row => "row",
            Self::Column => "column",
            Self::Site => "site",
            Self::Channel => "channel",
            Self::Z => "z",
            Self::T => "t",
            Self::Guid => "guid",
        }
    }

    /// The field of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    /// Whether any text may stand for it.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Experiment | Self::Plate)
    }

    /// The regular expression of the texts that may stand for it. It is wider than what is right, so that a column 0 or
    /// a site 99999 is found, and named, instead of not being seen.
    pub(super) fn shape(self) -> &'static str {
        match self {
            Self::Experiment | Self::Plate => "[^/]+",
            Self::Well => "[A-Za-z]{1,2}[0-9]{1,3}",
            Self::Row => "[A-Za-z]{1,2}|[0-9]+",
            Self::Column | Self::Site | Self::Z | Self::T => "[0-9]+",
            Self::Channel => "[A-Za-z0-9](?:[A-Za-z0-9+ -]*[A-Za-z0-9+-])?",
            Self::Guid => "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.name())
    }
}
