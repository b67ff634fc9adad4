//! A pattern of names: what it reads from a path, and the path that it writes.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};

use super::field::Field;
use super::fields::{Fields, Misread, Texts};
use super::grammar::{self, PatternError, Piece};

/// Most bytes of a compiled pattern; those of 1,000 bytes take less.
const MAX_COMPILED: usize = 1 << 20;
/// Letters by which names count sites, time points, channels and planes, as in `_s1`, `_t1`, `_w1`, `_z1`.
const COUNTERS: [char; 4] = ['s', 't', 'w', 'z'];

/// How paths of images are made up of fields, such as `{experiment}/{plate}/{well}_s{site}_w{channel}.png`.
///
/// A pattern is held against the last names of a path, as many as it has itself, so that one without folders is found
/// at any depth. A text ([`Field::Experiment`], [`Field::Plate`], `*`) takes as much as it can, so that the plate of
/// `a_b_c_B02` is `c` in `{experiment}_{plate}_{well}`; but one before a doubled mark, such as `__`, has none
/// of these in it. A field that is there twice has the same text in both places.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    pieces: Vec<Piece>,
    /// The field of each group of the expression.
    groups: Vec<Field>,
    expression: Regex,
    /// Names of folders and of the file.
    n_names: usize,
    /// Whether the well stands behind a text and `_`, where one in small letters may be the number of something else.
    well_follows_text: bool,
}

/// Why no path can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unwritable {
    /// The pattern has a field of which nothing is given.
    NotGiven(Field),
    /// The path would tell something else than was given, as of an experiment `a` and a plate `b_c` in
    /// `{experiment}_{plate}`; or it would leave its folder, as with a plate `..`.
    ReadOtherwise(String),
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGiven(field) => write!(f, "the pattern has {field}, of which nothing is given"),
            Self::ReadOtherwise(path) => write!(f, "{path:?} would not be read as what it was written for"),
        }
    }
}

impl std::error::Error for Unwritable {}

impl Pattern {
    /// Whether it has a field.
    #[must_use]
    pub fn has(&self, field: Field) -> bool {
        self.groups.contains(&field)
    }

    /// What a path tells, relative to the root of its tree and with `/` between its names; `None` where it has not the
    /// shape of the pattern.
    ///
    /// # Errors
    /// If it has the shape of the pattern, but no image can have what it tells: a column 0, a site past 65535, two
    /// texts for one field, a GUID for a channel, or a site for a well.
    pub fn read<'a>(&self, path: &'a str) -> Result<Option<Fields<'a>>, Misread> {
        let start = self.start(path);
        let Some(found) = self.expression.captures(&path[start..]) else { return Ok(None) };
        let mut texts = Texts::default();
        for (&field, group) in self.groups.iter().zip(found.iter().skip(1).flatten()) {
            if field == Field::Well && self.well_follows_text {
                check_well(&path[start..start + group.start()], group.as_str())?;
            }
            texts.tell(field, group.as_str())?;
        }
        texts.fields().map(Some)
    }

    /// Where the plate of a path is that the pattern reads: the folders down to the one that names it, and what `*` stands
    /// for in others, but not what tells another field, such as a time. Images in two places are of two plates, whatever
    /// their names come to.
    #[must_use]
    pub fn place_of_plate(&self, path: &str) -> Option<String> {
        let start = self.start(path);
        let path_below = &path[start..];
        let found = self.expression.captures(path_below)?;
        let groups: Vec<(Field, std::ops::Range<usize>)> =
            self.groups.iter().copied().zip(found.iter().skip(1).flatten().map(|group| group.range())).collect();
        let plate = groups.iter().find(|(field, _)| *field == Field::Plate).map(|(_, range)| range.clone());
        let is_other = |field: Field| !matches!(field, Field::Plate | Field::Experiment);
        let mut place = path[..start].to_owned();
        let mut at = 0;
        for (name, pattern) in path_below.split_inclusive('/').zip(self.text.split('/')) {
            let span = at..at + name.len();
            at = span.end;
            let others: Vec<_> =
                groups.iter().filter(|(field, range)| is_other(*field) && span.contains(&range.start)).collect();
            let is_of_plate = plate.as_ref().is_some_and(|plate| span.contains(&plate.start));
            let is_file = !name.ends_with('/');
            if !is_file && (others.is_empty() || pattern.contains('*')) {
                let mut from = span.start;
                for (_, range) in others {
                    place += &path_below[from..range.start];
                    from = range.end;
                }
                place += &path_below[from..span.end];
            } else if let Some(plate) = plate.as_ref().filter(|_| is_of_plate) {
                place += &path_below[plate.clone()];
            }
            if is_of_plate {
                break;
            }
        }
        Some(place)
    }

    /// The path of an image of which all that the pattern asks for is given; what it does not ask for is left out. It
    /// reads as what was given. A GUID is made up from the rest of the path, and `*` is `1`.
    ///
    /// # Errors
    /// If a field is not given, or the path would be read otherwise.
    pub fn write(&self, fields: &Fields<'_>) -> Result<String, Unwritable> {
        let without_guid = self.fill(fields, "")?;
        let path = if self.has(Field::Guid) { self.fill(fields, &guid_of(&without_guid))? } else { without_guid };
        let is_below = path.split('/').all(|name| !matches!(name, "." | ".."));
        if is_below && self.read(&path) == Ok(Some(self.told_of(fields))) {
            Ok(path)
        } else {
            Err(Unwritable::ReadOtherwise(path))
        }
    }

    /// Where the names of a path begin that the pattern is held against.
    fn start(&self, path: &str) -> usize {
        path.rmatch_indices('/').nth(self.n_names - 1).map_or(0, |(at, _)| at + 1)
    }

    /// What the pattern tells of what is given.
    fn told_of<'a>(&self, fields: &Fields<'a>) -> Fields<'a> {
        Fields {
            experiment: fields.experiment.filter(|_| self.has(Field::Experiment)),
            plate: fields.plate.filter(|_| self.has(Field::Plate)),
            well: fields.well,
            site: fields.site.filter(|_| self.has(Field::Site)),
            channel: fields.channel.filter(|_| self.has(Field::Channel)),
            z: fields.z.filter(|_| self.has(Field::Z)),
            t: fields.t.filter(|_| self.has(Field::T)),
        }
    }

    fn fill(&self, fields: &Fields<'_>, guid: &str) -> Result<String, Unwritable> {
        let number = |number: Option<u16>| number.map(|number| number.to_string());
        let text = |text: Option<&str>| text.map(str::to_owned);
        let given = |field| match field {
            Field::Experiment => text(fields.experiment),
            Field::Plate => text(fields.plate),
            Field::Well => Some(fields.well.to_string()),
            Field::Row => Some(format!("{:02}", fields.well.row() + 1)),
            Field::Column => Some(format!("{:02}", fields.well.column())),
            Field::Site => number(fields.site),
            Field::Channel => text(fields.channel),
            Field::Z => number(fields.z),
            Field::T => number(fields.t),
            Field::Guid => text(Some(guid)),
        };
        let mut path = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => path += literal,
                Piece::Field(field) => path += &given(*field).ok_or(Unwritable::NotGiven(*field))?,
                Piece::Anything => path += "1",
            }
        }
        Ok(path)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let pieces = grammar::pieces(text)?;
        let field = |piece: &Piece| if let Piece::Field(field) = piece { Some(*field) } else { None };
        let is_text = |piece: &Piece| *piece == Piece::Anything || field(piece).is_some_and(Field::is_text);
        let well_follows_text = pieces.array_windows().any(|[before, mark, piece]| {
            is_text(before) && *mark == Piece::Literal("_".to_owned()) && *piece == Piece::Field(Field::Well)
        });
        let expression = RegexBuilder::new(&expression_of(text, &pieces)).size_limit(MAX_COMPILED).build();
        Ok(Self {
            text: text.to_owned(),
            groups: pieces.iter().filter_map(field).collect(),
            pieces,
            expression: expression.map_err(|_| PatternError::TooLong)?,
            n_names: text.split('/').count(),
            well_follows_text,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// The regular expression of a pattern: a group for each field, in their order.
fn expression_of(text: &str, pieces: &[Piece]) -> String {
    let extension = grammar::extension(text);
    let mut expression = "^".to_owned();
    for (i, piece) in pieces.iter().enumerate() {
        match (piece, pieces.get(i + 1)) {
            (Piece::Literal(literal), Some(_)) => expression += &regex::escape(literal),
            (Piece::Literal(literal), None) => {
                let of_letter = |letter: char| format!("[{}{letter}]", letter.to_ascii_uppercase());
                let kind: String = match extension.trim_start_matches('.').to_ascii_lowercase().as_str() {
                    "tif" | "tiff" => "[Tt][Ii][Ff][Ff]?".to_owned(),
                    other => other.chars().map(of_letter).collect(),
                };
                let stem = literal.strip_suffix(extension).unwrap_or(literal);
                expression += &format!("{}\\.{kind}$", regex::escape(stem));
            }
            (Piece::Field(Field::Channel), Some(Piece::Field(Field::Guid))) => expression += "([0-9]+)",
            (Piece::Field(field), Some(Piece::Literal(behind))) if field.is_text() => {
                expression += &format!("({}+)", part_of_text_before(behind));
            }
            (Piece::Field(field), _) => expression += &format!("({})", field.shape()),
            (Piece::Anything, Some(Piece::Literal(behind))) => {
                expression += &format!("{}*", part_of_text_before(behind));
            }
            (Piece::Anything, _) => expression += "[^/]*",
        }
    }
    expression
}

/// The regular expression of what a text before a literal is made up of: a doubled mark with which the literal begins,
/// such as `__`, is not in it.
fn part_of_text_before(literal: &str) -> String {
    match literal.as_bytes() {
        [mark, again, ..] if mark == again && mark.is_ascii_punctuation() => {
            let mark = regex::escape(&char::from(*mark).to_string());
            format!("(?:{mark}?[^/{mark}])")
        }
        _ => "[^/]".to_owned(),
    }
}

/// Refuses `w1` for the well of `9987_B02_w1.TIF` in `{plate}_{well}.TIF`: behind what may be a well, a small `s`, `t`,
/// `w` or `z` counts something else.
fn check_well(before: &str, well: &str) -> Result<(), Misread> {
    let text = before.strip_suffix('_').unwrap_or(before);
    let part = text.rsplit(['_', '/']).next().unwrap_or(text);
    let letters = part.bytes().take_while(u8::is_ascii_alphabetic).count();
    let digits = &part.as_bytes()[letters..];
    let is_like_well = (1..=2).contains(&letters) && (1..=3).contains(&digits.len());
    let is_counter = well.starts_with(COUNTERS) && well.as_bytes()[1].is_ascii_digit();
    if is_like_well && digits.iter().all(u8::is_ascii_digit) && is_counter {
        let expected = "a well; behind what may be one, a small s, t, w or z counts something else";
        return Err(Misread::new(Field::Well, expected, &format!("{part}_{well}")));
    }
    Ok(())
}

/// A GUID made up from a text (FNV-1a, twice): the same for the same text.
fn guid_of(text: &str) -> String {
    let hash = |basis: u64| {
        text.bytes().fold(basis, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    };
    let (high, low) = (hash(0xcbf2_9ce4_8422_2325), hash(0x8422_2325_cbf2_9ce4));
    let hex = format!("{high:016X}{low:016X}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
