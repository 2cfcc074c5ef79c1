//! A value that differs between the worlds, as a file writes it.

use super::Scale;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;

/// A value in each world.
#[derive(Clone, Debug)]
pub enum Constant {
    /// The same in all.
    Same(String),
    /// The real one, a shorter one for the wire, and the one for a run against Linux, which has its
    /// own.
    Scaled {
        /// In the simulation.
        real: String,
        /// On the wire.
        wire: String,
        /// Beside Linux; the wire's where it is left out.
        kernel: Option<String>,
    },
}

impl Constant {
    /// Its value at a scale.
    pub(super) fn at(&self, scale: Scale) -> &str {
        match (self, scale) {
            (Constant::Same(value), _) => value,
            (Constant::Scaled { real, .. }, Scale::Real) => real,
            (
                Constant::Scaled {
                    kernel: Some(kernel),
                    ..
                },
                Scale::Kernel,
            ) => kernel,
            (Constant::Scaled { wire, .. }, Scale::Wire | Scale::Kernel) => wire,
        }
    }
}

impl<'de> Deserialize<'de> for Constant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Constant, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// The table, whose mistakes an untagged enum would hide.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    real: String,
    wire: String,
    kernel: Option<String>,
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Constant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or { real = \"..\", wire = \"..\", kernel = \"..\" }")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Constant, E> {
        Ok(Constant::Same(value.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Constant, A::Error> {
        let Table { real, wire, kernel } = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Constant::Scaled { real, wire, kernel })
    }
}
