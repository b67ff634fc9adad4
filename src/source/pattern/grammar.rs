//! The text of a pattern, taken to pieces; and what is wrong with one that is none.

use std::fmt;

use super::field::Field;

/// Most bytes of a pattern.
const MAX_LEN: usize = 1_000;
/// What a pattern may end in, in small letters.
const EXTENSIONS: [&str; 6] = [".png", ".tif", ".tiff", ".bmp", ".pgm", ".ppm"];

/// One piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A text that is there as it is.
    Literal(String),
    /// A field in braces.
    Field(Field),
    /// `*`: any text within one folder's or file's name.
    Anything,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Field(field) => field.fmt(f),
            Self::Anything => f.write_str("*"),
        }
    }
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// There is no text.
    Empty,
    /// It has more than 1,000 bytes.
    TooLong,
    /// It begins with `/`, where paths are relative to the root of a tree.
    Absolute,
    /// A folder without a name, `.` or `..`.
    Folder(String),
    /// A brace that is not closed, or one that is not opened, and what follows.
    Brace(String),
    /// A word in braces that is no field.
    Unknown(String),
    /// Two pieces side by side, where nothing tells where one ends and the next begins.
    Touching(String, String),
    /// Neither `{well}` nor both `{row}` and `{column}`.
    NoWell,
    /// `{well}` beside `{row}` or `{column}`.
    TwoWells,
    /// It does not end as names of images do.
    NoExtension,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the pattern is empty"),
            Self::TooLong => write!(f, "the pattern is too long; expected at most {MAX_LEN} bytes"),
            Self::Absolute => f.write_str("a pattern is relative to the tree: expected no '/' at its beginning"),
            Self::Folder(name) => write!(f, "expected names of folders between each '/', found {name:?}"),
            Self::Brace(rest) => write!(f, "expected a field such as {{well}}, found {rest:?}"),
            Self::Unknown(name) => {
                let known: Vec<String> = Field::ALL.iter().map(Field::to_string).collect();
                write!(f, "unknown field {{{name}}}; expected one of {}", known.join(", "))
            }
            Self::Touching(first, second) if [first, second] == ["*", "*"] => {
                f.write_str("expected '*', found '**'; a pattern is looked for at any depth")
            }
            Self::Touching(first, second) => {
                write!(f, "nothing between {first} and {second} tells where one ends and the other begins")
            }
            Self::NoWell => f.write_str("nothing tells the well: expected {well}, or both {row} and {column}"),
            Self::TwoWells => f.write_str("the well is told twice: expected {well}, or {row} and {column}"),
            Self::NoExtension => write!(f, "expected one of {} at the end", EXTENSIONS.join(", ")),
        }
    }
}

impl std::error::Error for PatternError {}

/// The pieces of a pattern: no two literals side by side, and the last one a literal that ends in [`extension`].
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.len() > MAX_LEN {
        return Err(PatternError::TooLong);
    }
    if text.starts_with('/') {
        return Err(PatternError::Absolute);
    }
    if let Some(name) = text.split('/').find(|name| matches!(*name, "" | "." | "..")) {
        return Err(PatternError::Folder(name.to_owned()));
    }
    let pieces = split(text)?;
    if let Some([first, second]) = pieces.array_windows().find(|[first, second]| is_unclear(first, second)) {
        return Err(PatternError::Touching(first.to_string(), second.to_string()));
    }
    let has = |field| pieces.contains(&Piece::Field(field));
    match (has(Field::Well), has(Field::Row), has(Field::Column)) {
        (true, false, false) | (false, true, true) => {}
        (true, ..) => return Err(PatternError::TwoWells),
        (false, ..) => return Err(PatternError::NoWell),
    }
    if extension(text).is_empty() {
        return Err(PatternError::NoExtension);
    }
    Ok(pieces)
}

/// What a pattern ends in, as it is spelled there: `.png`, `.tif`, `.bmp` and so on, in small letters or capitals; nothing
/// where it is anything else.
pub(super) fn extension(text: &str) -> &str {
    let end = text.rfind('.').map_or("", |at| &text[at..]);
    if EXTENSIONS.iter().any(|known| end.eq_ignore_ascii_case(known)) { end } else { "" }
}

fn split(text: &str) -> Result<Vec<Piece>, PatternError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let literal = rest.find(['{', '}', '*']).unwrap_or(rest.len());
        if literal > 0 {
            pieces.push(Piece::Literal(rest[..literal].to_owned()));
            rest = &rest[literal..];
        } else if let Some(behind) = rest.strip_prefix('*') {
            pieces.push(Piece::Anything);
            rest = behind;
        } else {
            let in_braces = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let is_open = |name: &str| name.contains(['{', '/']);
            let Some((name, behind)) = in_braces.filter(|(name, _)| !is_open(name)) else {
                return Err(PatternError::Brace(rest.chars().take(80).collect()));
            };
            pieces.push(Piece::Field(Field::named(name).ok_or_else(|| PatternError::Unknown(name.to_owned()))?));
            rest = behind;
        }
    }
    Ok(pieces)
}

/// Whether nothing tells where one piece ends and the next begins. A GUID has a fixed length, so whatever is beside it
/// ends where it begins.
fn is_unclear(first: &Piece, second: &Piece) -> bool {
    let is_open = |piece: &Piece| !matches!(piece, Piece::Literal(_) | Piece::Field(Field::Guid));
    is_open(first) && is_open(second)
}
