//! What was measured: kept as JSON, and compared with what was measured before.

use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// What may grow without anyone's asking: so much of the figure, or so many instructions.
const TOLERATED_PERCENT: u64 = 3;
const TOLERATED: u64 = 6;

/// The cost of one operation, in instructions, over all the times that it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// How often it was done.
    pub samples: u64,
    /// The least.
    pub min: u64,
    /// The most frequent.
    pub mode: u64,
    /// What 99 of 100 don't exceed.
    pub p99: u64,
    /// The most.
    pub max: u64,
}

/// Figures of operations by their names.
pub type Operations = BTreeMap<String, Figure>;
/// Figures by CPU model and operation.
pub type Figures = BTreeMap<String, Operations>;

impl Figure {
    /// Of samples, in any order. `None` of none.
    pub fn of(samples: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut samples: Vec<u64> = samples.into_iter().collect();
        samples.sort_unstable();
        let most_frequent = samples.chunk_by(|a, b| a == b).max_by_key(|run| run.len())?;
        Some(Self {
            samples: samples.len() as u64,
            min: *samples.first()?,
            mode: *most_frequent.first()?,
            p99: *samples.get(samples.len() * 99 / 100)?,
            max: *samples.last()?,
        })
    }

    /// By the names of its fields; `None` if one is missing.
    pub fn by(number: impl Fn(&str) -> Option<u64>) -> Option<Self> {
        Some(Self {
            samples: number("samples")?,
            min: number("min")?,
            mode: number("mode")?,
            p99: number("p99")?,
            max: number("max")?,
        })
    }

    fn json(&self) -> Value {
        json!({ "samples": self.samples, "min": self.min, "mode": self.mode, "p99": self.p99,
            "max": self.max })
    }
}

/// Numbers by their names.
pub type Named = BTreeMap<String, u64>;

/// All that was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The cost of operations.
    pub instructions: Figures,
    /// The sizes of things.
    pub bytes: Named,
    /// Instructions that Linux takes to /init; empty if that was not measured.
    pub linux: Named,
}

impl Report {
    /// Writes it as JSON.
    pub fn write(&self, file: &Path) -> Result<()> {
        let mut instructions = Map::new();
        for (cpu, operations) in &self.instructions {
            let operations = operations.iter().map(|(name, one)| (name.clone(), one.json()));
            instructions.insert(cpu.clone(), Value::Object(operations.collect()));
        }
        let value = json!({
            "instructions": instructions,
            "bytes": self.bytes,
            "linux": self.linux,
        });
        let text = serde_json::to_string_pretty(&value).unwrap_or_default();
        fs::write(file, text + "\n").map_err(Error::file(file))
    }

    /// Reads it back.
    pub fn read(file: &Path) -> Result<Self> {
        let wrong = |why: String| Error::File { path: file.into(), why };
        let text = fs::read_to_string(file).map_err(Error::file(file))?;
        let value: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let mut report = Self::default();
        for (cpu, operations) in value["instructions"].as_object().into_iter().flatten() {
            for (name, one) in operations.as_object().into_iter().flatten() {
                let figure = Figure::by(|key| one[key].as_u64()).ok_or_else(|| {
                    wrong(format!(
                        "{cpu}, {name}: found {one}, wanted samples, min, mode, p99 and max"
                    ))
                })?;
                report.instructions.entry(cpu.clone()).or_default().insert(name.clone(), figure);
            }
        }
        let numbers = |key: &str| -> Result<Named> {
            let object = value[key].as_object().into_iter().flatten();
            let number = |(name, one): (&String, &Value)| {
                let number = one.as_u64().ok_or_else(|| {
                    wrong(format!("{key}, {name}: found {one}, wanted a whole number"))
                })?;
                Ok((name.clone(), number))
            };
            object.map(number).collect()
        };
        report.bytes = numbers("bytes")?;
        report.linux = numbers("linux")?;
        Ok(report)
    }
}

/// What grew by more than is tolerated, or is gone: one line each.
pub fn worse(now: &Figures, before: &Figures) -> Vec<String> {
    let mut lines = Vec::new();
    for (cpu, operations) in before {
        for (name, old) in operations {
            let allowed = old.mode + (old.mode * TOLERATED_PERCENT / 100).max(TOLERATED);
            match now.get(cpu).and_then(|operations| operations.get(name)) {
                None => lines.push(format!("{name} on {cpu}: not measured any more")),
                Some(new) if new.mode > allowed => lines.push(format!(
                    "{name} on {cpu}: {} instructions, committed {}, {allowed} tolerated",
                    new.mode, old.mode
                )),
                Some(_) => {}
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(mode: u64) -> Figures {
        let figure = Figure { samples: 1, min: mode, mode, p99: mode, max: 2 * mode };
        let one = BTreeMap::from([("hvc".to_owned(), figure)]);
        BTreeMap::from([("max".to_owned(), one)])
    }

    #[test]
    fn a_figure_may_grow_by_a_little() {
        assert!(worse(&figures(106), &figures(100)).is_empty());
        assert_eq!(worse(&figures(107), &figures(100)).len(), 1);
        assert!(worse(&figures(1030), &figures(1000)).is_empty());
        assert_eq!(worse(&figures(1031), &figures(1000)).len(), 1);
        assert_eq!(worse(&Figures::new(), &figures(100)).len(), 1);
    }

    #[test]
    fn samples_come_in_any_order() {
        let hundred = (0..100).map(|n| if n % 2 == 0 { 7 } else { n }).chain([500]);
        let wanted = Figure { samples: 101, min: 1, mode: 7, p99: 99, max: 500 };
        assert_eq!(Figure::of(hundred), Some(wanted));
        assert_eq!(Figure::of([]), None);
    }
}
