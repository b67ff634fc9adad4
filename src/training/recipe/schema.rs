//! What a key of a recipe is, and the macro that makes a recipe of a table of them.

use super::options::Choice;

/// One key: a line of the TOML file, and a flag of `train`.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name, as in TOML and after `--`.
    pub name: &'static str,
    /// What stands for its value in help.
    pub value: &'static str,
    /// Under which heading it is shown.
    pub group: &'static str,
    /// What it means, with its unit.
    pub help: &'static str,
    /// What its value can be, where that is a choice of names; nothing where it is not.
    pub choices: &'static [&'static str],
}

/// The names that a value of this type can have.
pub(super) const fn choices_of<T: Choice>() -> &'static [&'static str] {
    T::NAMES
}

/// The name of a field as a key: with dashes.
pub(super) fn name_of(field: &str) -> String {
    field.replace('_', "-")
}

/// Makes of a table of keys, by their headings, the type that holds a value of each, its values where nothing is said,
/// and [`Key`]s in the order of the table. A line is `name: type = value, "what stands for it"`, and the least and the
/// most that it can be where it is a number; its comment is the help of its flag.
macro_rules! recipe {
    (
        $(#[$of_all:meta])*
        pub struct $recipe:ident {
            $($group:literal {
                $(
                    $(#[doc = $help:literal])+
                    $(#[serde($($serde:tt)*)])?
                    $field:ident: $type:ty = $default:expr, $value:literal $(, $least:literal => $most:literal)?;
                )*
            })*
        }
    ) => {
        $(#[$of_all])*
        pub struct $recipe {
            $($(
                $(#[doc = $help])+
                $(#[serde($($serde)*)])?
                pub $field: $type,
            )*)*
        }

        impl Default for $recipe {
            fn default() -> Self {
                Self { $($($field: $default,)*)* }
            }
        }

        /// Every key, in the order of help and of a resolved recipe.
        pub static KEYS: std::sync::LazyLock<Vec<super::schema::Key>> = std::sync::LazyLock::new(|| {
            vec![$($(super::schema::Key {
                name: super::schema::name_of(stringify!($field)).leak(),
                value: $value,
                group: $group,
                help: concat!($($help),+).trim_ascii_start(),
                choices: super::schema::choices_of::<$type>(),
            },)*)*]
        });

        impl $recipe {
            /// The keys that are numbers within bounds, each with its value, the least and the most that it can be.
            fn numbers(&self) -> Vec<(String, f64, [f64; 2])> {
                vec![$($($((
                    super::schema::name_of(stringify!($field)),
                    f64::from(self.$field),
                    [f64::from($least), f64::from($most)],
                ),)?)*)*]
            }
        }
    };
}

pub(super) use recipe;
