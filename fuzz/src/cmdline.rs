//! The hypervisor's command line, against a plain reader of words.

use mezzanine::platform::cmdline::CommandLine;

/// Takes the bytes for a line.
pub fn run(data: &[u8]) {
    with(data, |line, name| CommandLine::new(line).bootargs(name));
}

fn with(data: &[u8], bootargs: impl for<'a> Fn(&'a str, &str) -> Option<&'a str>) {
    let Ok(line) = core::str::from_utf8(data) else { return };
    let read = CommandLine::new(line);
    let words = words(line);
    let is = |wanted: &str| words.iter().any(|word| word == wanted);
    assert_eq!((read.batch, read.stay), (is("batch"), is("stay")));
    let mut errors = 0;
    let mut last = std::collections::BTreeMap::new();
    for word in &words {
        match word.split_once('=') {
            None if word == "batch" || word == "stay" => {}
            Some(("log", level)) => errors += u32::from(!is_level(level)),
            Some((key, value)) if is_name(key) && is_closed(value) => {
                last.insert(key.trim_end_matches(".bootargs"), plain(value));
            }
            _ => errors += 1,
        }
    }
    assert_eq!(read.errors().count() as u32, errors, "{words:?}");
    assert!(read.errors().all(|error| !error.to_string().is_empty()));
    // Names that end in ".bootargs" themselves are the plain reader's limit.
    for (name, value) in last {
        if !line.contains(".bootargs.bootargs") {
            assert_eq!(bootargs(line, name), Some(value));
        }
    }
}

/// A blank within quotes separates nothing.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        quoted ^= c == '"';
        match words.last_mut() {
            Some(word) if quoted || !c.is_whitespace() => word.push(c),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_level(level: &str) -> bool {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    levels.contains(&level.to_ascii_lowercase().as_str())
}

fn is_name(key: &str) -> bool {
    key.ends_with(".bootargs") && key != ".bootargs"
}

/// What begins with a quote has to end with another.
fn is_closed(value: &str) -> bool {
    !value.starts_with('"') || value.len() > 1 && value.ends_with('"')
}

fn plain(value: &str) -> &str {
    if value.starts_with('"') { &value[1..value.len() - 1] } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_that_stay_are_found() {
        crate::bite::assert_bites("cmdline", run, |data| {
            with(data, |line, name| {
                let (_, rest) = line.split_once(&format!("{name}.bootargs="))?;
                rest.split(' ').next()
            });
        });
    }
}
