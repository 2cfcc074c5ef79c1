//! The names of values in records: each enum has one table of them, for writing and for reading.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

/// A word that names no value of an enum.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UnknownName {
    /// What the word should name: `state`, `verdict`.
    pub what: &'static str,
    /// The word.
    pub name: String,
}

impl UnknownName {
    /// `name` names no `what`.
    pub fn new(what: &'static str, name: &str) -> UnknownName {
        UnknownName {
            what,
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {} '{}'", self.what, self.name)
    }
}

impl core::error::Error for UnknownName {}

/// Makes `ALL`, `name`, `Display` and `FromStr` of an enum from one table of values and names. The
/// `match` inside makes the compiler find a value without a name.
macro_rules! names {
    (
        $type:ident, $what:literal, {
            $($($value:ident)::+ $(($($inner:ident)::+))? => $name:literal,)+
        }
    ) => {
        impl $type {
            /// All values.
            pub const ALL: [$type; [$($name),+].len()] =
                [$($($value)::+ $(($($inner)::+))?),+];

            /// Its name in events files.
            pub const fn name(self) -> &'static str {
                match self {
                    $($($value)::+ $(($($inner)::+))? => $name,)+
                }
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.name())
            }
        }

        impl core::str::FromStr for $type {
            type Err = $crate::name::UnknownName;

            fn from_str(name: &str) -> Result<$type, $crate::name::UnknownName> {
                $type::ALL
                    .into_iter()
                    .find(|value| value.name() == name)
                    .ok_or_else(|| $crate::name::UnknownName::new($what, name))
            }
        }
    };
}

pub(crate) use names;
