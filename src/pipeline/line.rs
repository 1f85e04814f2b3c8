//! A shown frame as a line of JSON.

use super::milliseconds;
use crate::compose::{Stage, Status};
use crate::health::State;
use crate::network::model::Model;
use crate::segment::Mask;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

#[derive(Serialize)]
pub struct Line<'a> {
    frame: u64,
    age_ms: f32,
    state: &'static str,
    dropped: u64,
    stages: Stages<'a>,
    classes: Classes<'a>,
}

impl<'a> Line<'a> {
    pub fn new(mask: &Mask<'a>, model: &'a Model, state: State, status: &'a Status) -> Line<'a> {
        Line {
            frame: mask.frame().sequence,
            age_ms: milliseconds(mask.age()),
            state: state.name(),
            dropped: status.dropped,
            stages: Stages(&status.stages),
            classes: Classes(model, mask.shares()),
        }
    }
}

struct Stages<'a>(&'a [Stage]);

impl Serialize for Stages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|stage| (stage.name, stage.milliseconds)))
    }
}

struct Classes<'a>(&'a Model, &'a [f32]);

impl Serialize for Classes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (class, share) in self.0.classes.iter().zip(self.1).filter(|(_, share)| **share > 0.0) {
            map.serialize_entry(&class.name, share)?;
        }
        map.end()
    }
}
