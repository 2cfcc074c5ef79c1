//! How the values of a line are written: by name, by number, or as the members of their line.

use super::{Role, escape, unescape};
use crate::config::Profile;
use crate::error::CloseKind;
use crate::event::{Discard, Evidence, Timer, TimerActionKind};
use crate::fault::{Direction, VerdictKind};
use crate::label::{Carries, Cause};
use crate::name::UnknownName;
use crate::script::{AppAction, AppActionKind};
use crate::seq::Seq;
use crate::state::{State, Trigger};
use crate::wire::{Flags, IcmpKind, IcmpName, Options};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Reads a value from its text.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err = UnknownName>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Types whose `Display` and `FromStr` are their JSON.
macro_rules! as_text {
    ($($type:ty),+ $(,)?) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                from.deserialize_str(Text(PhantomData))
            }
        }
    )+};
}

as_text!(
    AppActionKind,
    CloseKind,
    Cause,
    Direction,
    Discard,
    Flags,
    IcmpName,
    Options,
    Profile,
    Role,
    State,
    Timer,
    TimerActionKind,
    Evidence,
    Trigger,
    VerdictKind,
);

impl Serialize for Seq {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for Seq {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Seq, D::Error> {
        u32::deserialize(from).map(Seq)
    }
}

impl Serialize for Carries {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Carries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Carries, D::Error> {
        let names: Vec<Cow<'de, str>> = Deserialize::deserialize(from)?;
        let mut all = Carries::default();
        for name in names {
            all.insert(Carries::named(&name).map_err(D::Error::custom)?);
        }
        Ok(all)
    }
}

/// The members of an `icmp` line.
#[derive(Serialize, Deserialize)]
struct Icmp {
    kind: IcmpName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<u32>,
}

impl Serialize for IcmpKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (kind, value) = self.parts();
        Icmp { kind, value }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for IcmpKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<IcmpKind, D::Error> {
        let Icmp { kind, value } = Icmp::deserialize(from)?;
        IcmpKind::from_parts(kind, value)
            .ok_or_else(|| D::Error::custom(format_args!("wrong value of ICMP error '{kind}'")))
    }
}

/// The members of an `app` line. `text` is the step, the reason of a failure, or escaped bytes.
#[derive(Serialize, Deserialize)]
struct App<'a> {
    did: AppActionKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
}

impl Serialize for AppAction {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let text = match self {
            AppAction::Began(text) | AppAction::Failed(text) => Some(Cow::from(text)),
            AppAction::Sent(bytes) | AppAction::Received(bytes) => Some(escape(bytes).into()),
            AppAction::Done | AppAction::Over => None,
        };
        let did = self.kind();
        App { did, text }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for AppAction {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<AppAction, D::Error> {
        let App { did, text } = App::deserialize(from)?;
        let text = text.unwrap_or_default();
        let bytes = || {
            unescape(&text)
                .ok_or_else(|| D::Error::custom(format_args!("wrong escape in '{text}'")))
        };
        Ok(match did {
            AppActionKind::Began => AppAction::Began(text.into_owned()),
            AppActionKind::Done => AppAction::Done,
            AppActionKind::Failed => AppAction::Failed(text.into_owned()),
            AppActionKind::Sent => AppAction::Sent(bytes()?),
            AppActionKind::Received => AppAction::Received(bytes()?),
            AppActionKind::Over => AppAction::Over,
        })
    }
}
